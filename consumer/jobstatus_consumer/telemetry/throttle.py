"""Limits how often a repeated log line appears."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable


class Throttle:
    """Allows one log line of each kind per `seconds`. The first line of a kind is always allowed.

    Not locked: two threads that ask at once may both be allowed.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._next: dict[Hashable, float] = {}

    def allows(self, kind: Hashable = "") -> bool:
        """Return whether a line of this kind may be logged now; True starts the next period. Never blocks."""
        now = self._clock()
        if now < self._next.get(kind, now):
            return False
        self._next[kind] = now + self._seconds
        return True

    def reset(self) -> None:
        """Allow the next line of every kind."""
        self._next.clear()
