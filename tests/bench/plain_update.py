"""Contender: the plain loop with the user's own UPDATE, `executemany` in a transaction, then a synchronous commit.

It keeps no state and has no guard; it waits for locked rows, and an update of a job without a row is lost.
"""

from __future__ import annotations

from .plain import consume

UPDATE = """
UPDATE app_jobs SET status = %(status)s, error_message = %(error_message)s, updated_at = now() WHERE id = %(job_id)s
"""

if __name__ == "__main__":
    consume(UPDATE)
