"""The bounds of an event's fields, the same for the producer, the consumer and the table."""

from __future__ import annotations

from typing import Final

MAX_JOB_ID_BYTES: Final = 512
MAX_STATUS_BYTES: Final = 64
MAX_WORKER_ID_BYTES: Final = 256
MAX_ERROR_MESSAGE_BYTES: Final = 16 * 1024
MAX_ATTEMPT: Final = 2**31 - 1
MIN_OCCURRED_AT: Final = 0
"""1970-01-01, in microseconds since then."""
MAX_OCCURRED_AT: Final = 7_258_118_400_000_000
"""2200-01-01 in microseconds: below 2**53, so that PostgreSQL's interval arithmetic is exact."""
