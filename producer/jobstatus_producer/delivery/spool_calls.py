"""Calls that may block on the spool, run in a thread of their own, so that each caller waits for a bounded time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from enum import Enum, auto
from queue import SimpleQueue
from typing import Final

from jobstatus_producer.delivery.acks import AckWaiter
from jobstatus_producer.errors import ProducerError
from jobstatus_producer.record import CheckedUpdate

LEAST_SECONDS: Final = 0.1
"""A disk that works is given this time, however short the bound of a call is."""
Put = Callable[[Sequence[CheckedUpdate], AckWaiter | None], bool]


class _State(Enum):
    WAITING = auto()
    UNDER_WAY = auto()
    ENDED = auto()
    CANCELLED = auto()
    """its caller gave up before it began: it never begins"""
    LEFT = auto()
    """its caller gave up while it was under way"""


class _Call:
    def __init__(self, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None) -> None:
        self.updates = updates
        self.waiter = waiter
        self.ended = threading.Event()
        self.accepted = False
        self.error: ProducerError | None = None
        # reentrant, because a signal handler may report in the middle of a call
        self._lock = threading.RLock()
        self._state = _State.WAITING

    def move_on(self, then: dict[_State, _State]) -> _State:
        """Go from the present state to the one that `then` has for it, if any. Returns the state after that."""
        with self._lock:
            self._state = then.get(self._state, self._state)
            return self._state


class SpoolCalls:
    """Runs `put` for callers that wait for a bounded time. Thread-safe.

    What is under way when its caller gives up cannot be taken back. It counts as accepted, and if it turns out that
    `put` did not accept it, `keep` does. A `durable` call is not accepted before it is on the disk: it may arrive all
    the same.
    """

    def __init__(
        self, put: Put, keep: Callable[[Sequence[CheckedUpdate], AckWaiter | None], None], *, durable: bool
    ) -> None:
        self._put = put
        self._keep = keep
        self._durable = durable
        self._lock = threading.RLock()
        self._calls: SimpleQueue[_Call] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None, seconds: float) -> bool:
        """`put`, for up to `seconds`, but at least 0.1 s. Raises what it raises. False: not accepted in that time."""
        call = _Call(updates, waiter)
        self._start()
        self._calls.put(call)
        if not call.ended.wait(max(seconds, LEAST_SECONDS)):
            given_up = {_State.WAITING: _State.CANCELLED, _State.UNDER_WAY: _State.LEFT}
            state = call.move_on(given_up)
            if state is not _State.ENDED:
                return state is _State.LEFT and not self._durable
        if call.error is not None:
            raise call.error
        return call.accepted

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="jobstatus-spool", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            call = self._calls.get()
            if call.move_on({_State.WAITING: _State.UNDER_WAY}) is _State.UNDER_WAY:
                self._run_one(call)

    def _run_one(self, call: _Call) -> None:
        try:
            call.accepted = self._put(call.updates, call.waiter)
        except ProducerError as error:
            call.error = error
        state = call.move_on({_State.UNDER_WAY: _State.ENDED})
        call.ended.set()
        if state is _State.LEFT and not call.accepted and not self._durable:
            self._keep(call.updates, call.waiter)
