"""Handlers of signals, each for as long as something is under way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Event, local
from types import FrameType
from typing import Any, Final

from jobstatus_consumer.errors import StopRequestedError

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)

Handler = Callable[[int, FrameType | None], Any]


class _ThisThread(local):
    """Handlers run in the main thread, and see what is true of that one."""

    waits: Event | None = None
    """set by a stop"""


_this_thread = _ThisThread()


@contextmanager
def handled_by(handler: Handler, numbers: Iterable[int] = STOPPING) -> Iterator[None]:
    """`handler` gets these signals meanwhile, and whoever had them gets them back."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def stop_once(stop: Event, tell: Callable[[str], None] = lambda name: None) -> Handler:
    """A handler that sets `stop` and tells the signal's name; a second signal ends the process at once."""

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()
        tell(signal.Signals(number).name)

    return handle


def stop_at_once(stop: Event) -> Handler:
    """As `stop_once`, and a wait that is `open_to_a_stop` ends with a `StopRequestedError`."""
    note = stop_once(stop)

    def handle(number: int, frame: FrameType | None) -> None:
        note(number, frame)
        if _this_thread.waits is not None:
            _this_thread.waits.set()
            raise StopRequestedError("stopped")

    return handle


@contextmanager
def open_to_a_stop() -> Iterator[Event]:
    """This thread waits meanwhile for an answer that may never come, and leaves nothing half done.

    The event says whether a stop came: a library that calls back swallows what is raised then.
    """
    before, _this_thread.waits = _this_thread.waits, Event()
    try:
        yield _this_thread.waits
    finally:
        _this_thread.waits = before
