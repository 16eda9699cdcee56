"""Calls that may block on the spool, run in a thread of their own, so that each caller waits for a bounded time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Final

from jobstatus_producer.delivery.acks import AckWaiter
from jobstatus_producer.errors import ProducerError
from jobstatus_producer.record import CheckedUpdate

LEAST_SECONDS: Final = 0.1
"""A disk that works is given this time, however short the bound of a call is."""
Put = Callable[[Sequence[CheckedUpdate], AckWaiter | None], bool]


class _Once:
    """Something that only one thread gets. Takes no lock: a signal handler may report in the middle of a call."""

    def __init__(self) -> None:
        self._token: SimpleQueue[None] = SimpleQueue()
        self._token.put(None)

    def take(self) -> bool:
        """Whether this is the first call. Never blocks."""
        try:
            self._token.get_nowait()
        except Empty:
            return False
        return True

    @property
    def is_taken(self) -> bool:
        return self._token.empty()


class _Call:
    def __init__(self, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None) -> None:
        self.updates = updates
        self.waiter = waiter
        # not an Event, whose lock an interrupted caller may hold
        self.ended: SimpleQueue[None] = SimpleQueue()
        self.accepted = False
        self.error: ProducerError | None = None
        self.begin = _Once()
        """for the thread that begins it, or the caller that cancels it before"""
        self.end = _Once()
        """for the thread that ends it, or the caller that leaves it under way"""
        self.is_over = False
        """nothing of it comes any more, and nothing of a call before it: the thread runs them in order"""


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
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._turn = _Once()
        """for the thread that runs the calls until `close`"""
        self._last: _Call | None = None

    @property
    def is_idle(self) -> bool:
        """Whether every call is over. Else an event that goes another way may overtake those of an interrupted call."""
        return self._last is None or self._last.is_over

    def put(self, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None, seconds: float) -> bool:
        """`put`, for up to `seconds`, but at least 0.1 s. Raises what it raises. False: not accepted in that time.

        Where a signal's handler raises in the middle, the call is taken back if it has not begun.
        """
        call = self._last = _Call(updates, waiter)
        self._start()
        self._calls.put(call)
        try:
            call.ended.get(timeout=max(seconds, LEAST_SECONDS))
        except Empty:
            if call.begin.take():
                return False
            if call.end.take():
                return not self._durable
        except BaseException:
            call.begin.take()
            raise
        if call.error is not None:
            raise call.error
        return call.accepted

    def _start(self) -> None:
        # A signal handler may raise in the middle of a thread's start. That thread then runs, or dies before its first
        # line, or was never started; only the thread itself can say which. One too many finds the turn taken.
        if not self._turn.is_taken:
            threading.Thread(target=self._run, args=(self._turn,), name="jobstatus-spool", daemon=True).start()

    def close(self) -> None:
        """End the thread once it has run the calls so far. Never blocks. A later call starts another thread."""
        turn, self._turn = self._turn, _Once()
        if not turn.take():
            self._calls.put(None)

    def _run(self, turn: _Once) -> None:
        if not turn.take():
            return
        while (call := self._calls.get()) is not None:
            if call.begin.take():
                self._run_one(call)
            call.is_over = True

    def _run_one(self, call: _Call) -> None:
        try:
            call.accepted = self._put(call.updates, call.waiter)
        except ProducerError as error:
            call.error = error
        is_left = not call.end.take()
        call.ended.put(None)
        if is_left and not call.accepted and not self._durable:
            self._keep(call.updates, call.waiter)
