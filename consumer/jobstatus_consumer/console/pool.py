"""A few open sessions or clients, so that a page does not have to open one first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from jobstatus_consumer.errors import JobStatusError

R = TypeVar("R")


class Closing(Protocol):
    """What a pool keeps: it is closed by leaving its `with`."""

    def __exit__(self, *_: object) -> None:
        """Close it."""


T = TypeVar("T", bound=Closing)


class Pool(Generic[T]):
    """Keeps at most `keep` that nobody uses. Safe to use from every thread."""

    def __init__(self, make: Callable[[], T], keep: int = 4) -> None:
        self._make = make
        self._keep = keep
        self._idle: list[T] = []
        self._lock = threading.Lock()
        self._closed = False

    def use(self, work: Callable[[T], R]) -> R:
        """Return what `work` returns, called with one that nobody else uses. Blocks as `work` does.

        One that was kept may have lost its server since, so after an error `work` is called again with a new one.
        """
        kept = self._take()
        if kept is not None:
            try:
                return self._used(kept, work)
            except JobStatusError:
                self.drop_idle()  # they are as old
        return self._used(self._make(), work)

    def close(self) -> None:
        """Close what is idle, and from now on each when its work is done."""
        self._closed = True
        self.drop_idle()

    def _used(self, one: T, work: Callable[[T], R]) -> R:
        try:
            result = work(one)
        except BaseException:
            one.__exit__()
            raise
        with self._lock:
            keeps = not self._closed and len(self._idle) < self._keep
            if keeps:
                self._idle.append(one)
        if not keeps:
            one.__exit__()
        return result

    def _take(self) -> T | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def drop_idle(self) -> None:
        """Close what nobody uses."""
        while (one := self._take()) is not None:
            one.__exit__()
