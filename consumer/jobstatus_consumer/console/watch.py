"""Asks one question again and again in a thread of its own. Any number of readers share the answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from jobstatus_consumer.errors import JobStatusError, StopRequestedError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """The newest answer, and whether the newest question got one. Times are in seconds since 1970-01-01 UTC."""

    value: T | None = None
    at: float | None = None
    """when `value` was true; None if there was no answer yet"""
    problem: JobStatusError | None = None
    """why the newest question got no answer"""
    asked: bool = False
    """whether the first question has ended"""


class Watch(Generic[T]):
    """Asks `question` every `every` seconds, and never for more than `share` of the time. `seen` is for any thread.

    So two questions begin `every` seconds apart, or `1 / share` times as long as one takes where that is longer.

    `told` is called in the thread of the watch after each question, and `end` when it ends. `close` ends it; a question
    that is being asked is waited for by `join` alone. `clock` and `wait` are for tests: `wait` pauses for some seconds
    and returns whether the watch was closed.
    """

    def __init__(
        self,
        name: str,
        question: Callable[[], T],
        *,
        every: float,
        share: float = 0.5,
        told: Callable[[], object] = lambda: None,
        end: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self.seen: Seen[T] = Seen()
        self._question = question
        self._every = every
        self._share = share
        self._told = told
        self._end = end
        self._stop = threading.Event()
        self._clock = clock
        self._wait = wait or self._stop.wait
        self._thread = threading.Thread(target=self._run, name=f"jobstatus-console-{name}", daemon=True)

    def start(self) -> None:
        """Ask for the first time, in the thread."""
        self._thread.start()

    def close(self) -> None:
        """Ask no more."""
        self._stop.set()

    def stopping(self) -> bool:
        """Whether `close` was called; for a question that takes long."""
        return self._stop.is_set()

    def join(self, seconds: float) -> None:
        """Wait for the thread's end."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._ask_on()
        finally:
            self._end()

    def _ask_on(self) -> None:
        pause = 0.0
        while not self._wait(pause):
            started = self._clock()
            try:
                self.seen = Seen(self._question(), time.time(), asked=True)
            except StopRequestedError:
                return
            except JobStatusError as error:
                self.seen = replace(self.seen, problem=error, asked=True)
            took = self._clock() - started
            pause = max(self._every - took, took / self._share - took, 0.05)
            self._told()
