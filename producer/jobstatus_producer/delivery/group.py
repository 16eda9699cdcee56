"""Calls that wait for the lock form a group: the first that gets it accepts the events of all, in one transaction."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from jobstatus_producer.delivery.acks import AckWaiter
from jobstatus_producer.record import CheckedUpdate, Record

MOST_CALLS: Final = 500
"""How many calls one transaction takes at most."""


class LockedCall:
    """One call that needs the lock."""

    def __init__(self, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None) -> None:
        self.updates = updates
        self.waiter = waiter
        self.records: list[Record] = []
        """made by the first that tries to accept it; the next one, after an interrupt, must not make other ones"""
        self.accepted: bool | None = None
        """whether there was room; None: that was not asked yet"""


class Group:
    """The calls that wait for the lock, in their order. Takes no lock: a signal handler may report in between."""

    def __init__(self) -> None:
        self._waiting: deque[LockedCall] = deque()

    def join(self, call: LockedCall) -> None:
        """`call` is about to wait for the lock."""
        self._waiting.append(call)

    def leave(self, call: LockedCall) -> None:
        """`call` does not wait any more, for whatever reason."""
        try:
            self._waiting.remove(call)
        except ValueError:
            # it was taken
            return

    def take(self, own: LockedCall) -> list[LockedCall]:
        """The calls to accept now. To be called with the lock, by `own`, which is one of them.

        A call that is taken and has no answer after all, because a signal handler raised, takes itself next time.
        """
        calls: list[LockedCall] = []
        while self._waiting and len(calls) < MOST_CALLS:
            calls.append(self._waiting.popleft())
        return calls if own in calls else [*calls, own]
