"""The calls that are under way, each in its thread, and what signal handlers report in the middle of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum, auto
from threading import get_ident
from typing import Final

from jobstatus_producer.delivery.acks import AckWaiter
from jobstatus_producer.record import CheckedUpdate

LOOK_SECONDS: Final = 0.001
"""How often a thread looks whether the direct calls of others have ended. Such a call takes microseconds."""
Accept = Callable[[Sequence[CheckedUpdate], AckWaiter | None], object]


class Way(Enum):
    """What a call that is under way may do."""

    DIRECT = auto()
    """give events to the Kafka client, without the lock"""
    LOCKED = auto()
    """what needs the lock"""


# for the lines that every call runs: in Python 3.11 an enum's attribute takes five times as long as a global
DIRECT: Final = Way.DIRECT
LOCKED: Final = Way.LOCKED


class Calls:
    """Takes no lock, so a signal handler may use it, whatever it interrupts."""

    def __init__(self) -> None:
        self.under_way: dict[int, Way] = {}
        """the call of each thread that is in the middle of one; set and deleted by that thread alone"""
        self.set_aside: dict[int, deque[tuple[Sequence[CheckedUpdate], AckWaiter | None]]] = {}
        """what signal handlers reported in the middle of a call, by its thread; an empty deque stays"""

    def put_aside(self, thread: int, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None) -> None:
        """Keep what a signal handler reports in the middle of the call of `thread`, until that call ends.

        That call's events may have their times already, so those of the handler come behind them.
        """
        self.set_aside.setdefault(thread, deque()).append((updates, waiter))

    def accept_next(self, thread: int, accept: Accept) -> None:
        """Have `accept` take the next report that was set aside for `thread`, if there is one."""
        waiting = self.set_aside[thread]
        if waiting:
            # in one step with the question: another thread may do the same
            accept(*waiting.popleft())

    def accept_all(self, accept: Accept) -> None:
        """Have `accept` take what was set aside for this thread, and for calls that a handler has ended by raising."""
        me = get_ident()
        for thread in self.set_aside.copy():
            while self.set_aside[thread] and (thread == me or thread not in self.under_way):
                self.accept_next(thread, accept)

    def any_is_direct(self) -> bool:
        """Whether the call of another thread may still give events to the Kafka client."""
        me = get_ident()
        return any(way is DIRECT and thread != me for thread, way in self.under_way.copy().items())

    def wait_for_direct_ones(self) -> None:
        """Block until the direct calls of other threads have ended. To be called when no more can begin."""
        while self.any_is_direct():
            time.sleep(LOOK_SECONDS)
