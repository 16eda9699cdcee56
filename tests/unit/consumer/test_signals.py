"""A signal that asks for the end is logged, also one that interrupts the writing of another line."""

from __future__ import annotations

import io
import logging
import signal
from threading import Event

from jobstatus_consumer.signals import stopped_by_signals


class Interrupted(io.StringIO):
    """A stream that gets a SIGTERM in the middle of its first line, and refuses to be entered again, as stderr does."""

    writing = False

    def write(self, text: str, /) -> int:
        if self.writing:
            raise RuntimeError("reentrant call inside the stream")
        self.writing = True
        try:
            if not self.tell():
                signal.raise_signal(signal.SIGTERM)
            return super().write(text)
        finally:
            self.writing = False


def test_a_signal_in_the_middle_of_a_log_line_is_logged_after_it() -> None:
    stream, stop = Interrupted(), Event()
    handler = logging.StreamHandler(stream)

    def log(text: str) -> None:
        handler.handle(logging.makeLogRecord({"msg": text}))

    with stopped_by_signals(stop, lambda name: log(f"{name}: stopping")):
        log("a line")
    assert stop.is_set()
    assert stream.getvalue().splitlines() == ["a line", "SIGTERM: stopping"]


def test_the_earlier_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with stopped_by_signals(Event(), print):
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) != before
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
