"""Signal handlers, each installed for as long as some work runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event, Thread, local
from types import FrameType
from typing import Any, Final

from jobstatus_consumer.errors import StopRequestedError

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)

Handler = Callable[[int, FrameType | None], Any]


class _ThisThread(local):
    """Python runs handlers in the main thread, so they see the main thread's value."""

    waiting: Event | None = None
    """Set by a stop. None while this thread does work that a stop must not interrupt."""


_this_thread = _ThisThread()


@contextmanager
def handled_by(handler: Handler, numbers: Iterable[int] = STOPPING) -> Iterator[None]:
    """Install `handler` for these signals, and the earlier handlers again at the end. For the main thread only."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def stop_once(stop: Event, tell: Callable[[str], None] = lambda name: None) -> Handler:
    """Return a handler that sets `stop` and calls `tell` with the signal's name; a second signal ends the process."""

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()
        tell(signal.Signals(number).name)

    return handle


@contextmanager
def stopped_by_signals(stop: Event, tell: Callable[[str], None]) -> Iterator[None]:
    """Have SIGTERM and SIGINT set `stop`; a thread calls `tell` with the signal's name. For the main thread only.

    A handler must not log: it may have interrupted the writing of another line.
    """
    names: SimpleQueue[str] = SimpleQueue()
    thread = Thread(target=_tell_each, args=(names, tell), name="jobstatus-signals", daemon=True)
    thread.start()
    try:
        with handled_by(stop_once(stop, names.put)):
            yield
    finally:
        names.put("")
        thread.join()


def _tell_each(names: SimpleQueue[str], tell: Callable[[str], None]) -> None:
    while name := names.get():
        tell(name)


def stop_at_once(stop: Event) -> Handler:
    """As `stop_once`, and a wait inside `open_to_a_stop` ends with a `StopRequestedError`."""
    note = stop_once(stop)

    def handle(number: int, frame: FrameType | None) -> None:
        note(number, frame)
        if _this_thread.waiting is not None:
            _this_thread.waiting.set()
            raise StopRequestedError("stopped")

    return handle


@contextmanager
def open_to_a_stop() -> Iterator[Event]:
    """Let a stop interrupt this thread: it waits for an answer that may never come, and leaves nothing half done.

    The event is set by a stop. Check it, since a library that runs the handler in a callback swallows the exception.
    """
    before, _this_thread.waiting = _this_thread.waiting, Event()
    try:
        yield _this_thread.waiting
    finally:
        _this_thread.waiting = before
