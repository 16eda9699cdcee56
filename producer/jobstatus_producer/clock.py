"""Time stamps that never repeat and never go back within a process, whatever the machine's clock does."""

from __future__ import annotations

import time
from collections.abc import Callable


class StrictClock:
    """Microseconds since 1970-01-01 UTC. Each stamp is higher than every stamp before it. Thread-safe.

    Takes no lock: `_last` is read and set in one statement without a call, and so in one step (`docs/design.md`, "Many
    threads that report").
    """

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._last = 0

    def stamp(self) -> int:
        """The machine's time, or one microsecond above the last stamp if the machine's time is not higher."""
        now = self._now_ns() // 1000
        self._last = stamp = now if now > self._last else self._last + 1
        return stamp

    def now(self) -> int:
        """The machine's time in microseconds. It may repeat or go back."""
        return self._now_ns() // 1000

    def rise_above(self, stamp: int) -> None:
        """Make every later stamp higher than `stamp`, which a spool already holds."""
        self._last = stamp if stamp > self._last else self._last


PROCESS_CLOCK = StrictClock()
"""The clock that all producers of a process share."""
