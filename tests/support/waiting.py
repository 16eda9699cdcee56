"""Waiting for a state, never for time to pass, and never without a bound."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import IO, Any, TypeVar

T = TypeVar("T")


def until(state: Callable[[], T], what: str, timeout: float = 60.0, every: float = 0.05) -> T:
    """The first true value of `state()`; fails the test after `timeout` seconds, saying what was awaited."""
    deadline = time.monotonic() + timeout
    while not (found := state()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(every)
    return found


def assert_quick(seconds: float, what: str, work: Callable[[], float]) -> None:
    """Repeat `work`, which returns how long it took, until it was quick once: other programs may hold it up.

    What is never quick fails within a minute.
    """
    until(lambda: work() < seconds, f"{what} within {seconds:g} s", every=0.0)


def readable(stream: IO[Any] | int, timeout: float | None) -> bool:
    """Whether there is something to read, or the end, within so many seconds; `select` refuses numbers above 1,023."""
    answers = select.poll()
    answers.register(stream, select.POLLIN)
    return bool(answers.poll(None if timeout is None else timeout * 1000))
