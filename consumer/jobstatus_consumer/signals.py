"""Handlers of signals, each for as long as something is under way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType
from typing import Any, Final

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)

Handler = Callable[[int, FrameType | None], Any]


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
