"""What this process knows of its producers, its forks, its SIGTERM handler and its end: one object for this package."""

from __future__ import annotations

import os
from collections.abc import Callable
from signal import Signals
from types import FrameType
from typing import Any, Final, NamedTuple, NoReturn, Protocol


class Registered(Protocol):
    """What a producer does when the process forks, gets SIGTERM, or ends."""

    @property
    def end_seconds(self) -> float:
        """The bound of `at_termination` with `then`, in seconds."""

    @property
    def is_interrupted(self) -> bool:
        """Whether a signal handler runs in the middle of a call of this thread."""

    def at_exit(self, seconds: float | None = None) -> None:
        """Close: deliver or spool within `seconds`, or raise with the events. None: the producer's own bound."""

    def at_termination(self, then: Callable[[], None] | None) -> None:
        """Begin a flush in the background. Never blocks and takes no lock: it runs in a signal handler.

        After the flush, close and call `then` from another thread. None: the process goes on, so the producer does.
        """

    def after_fork(self) -> None:
        """Forget the parent's client and spools, in the child: its events are the parent's to deliver."""


class Fork(NamedTuple):
    """A fork that is under way in one thread."""

    mask: set[int | Signals] | None
    """the signal mask to restore after the fork; None: this fork did not change the mask"""
    has_sqlite_lock: bool
    """False: the lock was not free within the bound, and the fork did not wait any longer"""


class ProcessState:
    """Changed by the modules of this package alone. `STATE` is the one instance."""

    def __init__(self) -> None:
        self.producers: list[Registered] = []
        """the open producers of this process, in the order in which they registered"""
        self.is_over = False
        """the producers have been closed at the end of the process: one that is made now would never be closed"""
        self.finalizer_pid: int | None = None
        """the process in which `multiprocessing` was asked to close the producers; a forked child has to ask again"""
        self.abandoned: list[object] = []
        """objects whose destructors must not run in this process"""
        self.previous_sigterm: Any = None
        """the SIGTERM handler that ours replaced; None: ours is not installed"""
        self.real_exit: Callable[[int], NoReturn] = os._exit
        """the `os._exit` that ours replaced"""
        self.our_exit: Callable[[int], NoReturn] | None = None
        """the `os._exit` that was installed last"""
        self.real_fork: Callable[[], int] = os.fork
        """the `os.fork` that ours replaced"""
        self.our_fork: Callable[[], int] | None = None
        """the `os.fork` that was installed last"""
        self.exiting_pid: int | None = None
        """the process in which `os._exit` was called"""
        self.interrupted_frames: list[FrameType | None] = []
        """for each SIGTERM that is being handled now, the frame that it interrupted"""
        self.new_clients: dict[int, float] = {}
        """the Kafka clients whose threads are starting, by id, and until when a fork waits for each (monotonic)"""
        self.fork_hooks_installed = False
        self.forks: dict[int, list[Fork]] = {}
        """the forks that are under way, by thread; a signal's handler may fork in the middle of another fork"""


STATE: Final = ProcessState()
