"""A managed table with a million rows, made by one statement of the database."""

from __future__ import annotations

from typing import Final

import psycopg

MILLION: Final = 1_000_000
ONLY: Final = f"job-{MILLION - 10:07d}"
"""The one job whose error message is `the only one`."""


def fill(url: str, table: str) -> None:
    """Fill the table, which must be empty. Blocks for some seconds."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"INSERT INTO {table} (job_id, status, error_message, attempt, worker_id, occurred_at, event_id, "
            "latest_occurred_at, updated_at) SELECT 'job-' || lpad(n::text, 7, '0'), "
            "(ARRAY['success', 'success', 'success', 'processing', 'error'])[1 + n %% 5], "
            "CASE WHEN n = %s THEN 'the only one' WHEN n %% 5 = 4 THEN 'TimeoutError: no answer within 30 s' END, 1, "
            "'worker-' || n %% 500, at, gen_random_uuid(), at, at "
            "FROM (SELECT n, now() - n * interval '1 second' AS at FROM generate_series(1, %s) AS n) AS made".encode(),
            (MILLION - 10, MILLION),
        )
        connection.execute(f"VACUUM ANALYZE {table}".encode())
