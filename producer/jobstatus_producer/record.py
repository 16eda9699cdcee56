"""What the outbox keeps of an accepted event until the broker has acknowledged it."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from jobstatus_schemas import JobStatusEvent, decode
from jobstatus_schemas.protocol import LATE_AFTER_SECONDS

_LATE_AFTER_MICROS: Final = round(LATE_AFTER_SECONDS * 1_000_000)


class Record(NamedTuple):
    """A record to be: `seq` is the event's `occurred_at`, unique in its process and rising, so it is the order too."""

    seq: int
    key: bytes
    value: bytes
    traceparent: str | None

    @property
    def event(self) -> JobStatusEvent:
        """The event in `value`, for the errors that carry it."""
        return decode(self.value)

    def is_late(self, now_micros: int) -> bool:
        """Whether it would go out more than 5 s after it was made; one from the future counts as late.

        Its clock cannot be trusted then, and late is the mark that can never put old news over new.
        """
        return not 0 <= now_micros - self.seq <= _LATE_AFTER_MICROS


def now_micros() -> int:
    """The machine's clock in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000
