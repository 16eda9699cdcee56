"""Time stamps that never repeat and never go back within a process, whatever the machine's clock does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class StrictClock:
    """Microseconds since 1970-01-01 UTC. Each stamp is higher than every stamp before it. Thread-safe."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        # reentrant, because a signal handler that reports may interrupt a thread that holds the lock
        self._lock = threading.RLock()
        self._last = 0

    def stamp(self) -> int:
        """The machine's time, or one microsecond above the last stamp if the machine's time is not higher."""
        with self._lock:
            now = self._now_ns() // 1000
            self._last = now if now > self._last else self._last + 1
            return self._last

    def now(self) -> int:
        """The machine's time in microseconds. It may repeat or go back."""
        return self._now_ns() // 1000

    def rise_above(self, stamp: int) -> None:
        """Make every later stamp higher than `stamp`, which a spool already holds."""
        with self._lock:
            self._last = max(self._last, stamp)

    def reset_after_fork(self) -> None:
        """Replace the lock: a thread that the forked child does not have may hold it."""
        self._lock = threading.RLock()


PROCESS_CLOCK = StrictClock()
"""The clock that all producers of a process share."""
