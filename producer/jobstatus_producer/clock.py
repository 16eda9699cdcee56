"""Time stamps that never repeat and never go back within a process, whatever the machine's clock does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class StrictClock:
    """Microseconds since 1970-01-01 UTC; each stamp is higher than every one before it."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        # a signal's handler that reports may have interrupted this very thread
        self._lock = threading.RLock()
        self._last = 0

    def stamp(self) -> int:
        """The machine's time, or one microsecond above the last stamp where that time is not higher."""
        with self._lock:
            now = self._now_ns() // 1000
            self._last = now if now > self._last else self._last + 1
            return self._last

    def rise_above(self, stamp: int) -> None:
        """From now on every stamp is higher than `stamp` (what a spool already holds)."""
        with self._lock:
            self._last = max(self._last, stamp)

    def reset_after_fork(self) -> None:
        """The lock may have been held by a thread that the child does not have."""
        self._lock = threading.RLock()


PROCESS_CLOCK = StrictClock()
"""Shared by all producers of a process."""
