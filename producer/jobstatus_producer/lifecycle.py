"""A process forks, is told to stop, and ends: what each means for the producers in it.

SIGTERM: the handler that was there before is called by ours, after the flush has been begun in the background. Where
there was none, the flush comes first and then the signal does what it would have done. The handler takes no lock and
waits for nothing, because it may have interrupted any line of the main thread. A second SIGTERM ends at once.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, Final, Protocol

from jobstatus_producer import lookup
from jobstatus_producer.clock import PROCESS_CLOCK
from jobstatus_producer.log import logger

BEFORE_FORK_SECONDS: Final = 0.2
AFTER_FORK_SECONDS: Final = 1.0


class Living(Protocol):
    """What a producer does at the turns of a process's life."""

    def at_exit(self) -> None:
        """Bounded: deliver, spool, or raise with the events."""

    def at_termination(self, then: Callable[[], None]) -> None:
        """Begin to flush without waiting or taking a lock, and call `then` from another thread when that is done."""

    def after_fork(self) -> None:
        """This is the child: nothing of the parent's client works here, and its events are the parent's."""


_living: Final[list[Living]] = []
_abandoned: Final[list[object]] = []
_unsure: Final[list[bool]] = []
"""Whether this process, a forked one, has yet to show that it can look up addresses."""
_installed: list[Any] = []
"""The SIGTERM handler that was there before ours, if ours is installed."""
_hooked: list[bool] = []
_blocked: Final[dict[int, set[int]]] = {}
"""By thread that forks just now: the signals that were blocked in it before."""
_handling: Final[list[int]] = []
"""The signal that is being handled: a handler that ours calls may call ours."""


def register(producer: Living) -> None:
    """From now until `unregister` the producer is told."""
    _living.append(producer)
    if not _hooked:
        _hooked.append(True)
        atexit.register(_end_all)
        os.register_at_fork(before=_before_fork, after_in_parent=_unblock, after_in_child=_after_fork)
    started_here()
    _chain_sigterm()


def unregister(producer: Living) -> None:
    """The producer is closed."""
    if producer in _living:
        _living.remove(producer)
    if not _living:
        _unchain_sigterm()


def started_here() -> None:
    """A producer begins to work in this process: some children end without running `atexit`.

    Those of `multiprocessing` do, and those of Celery's prefork pool, which then may be killed at any moment.
    """
    _make_sure()
    celery = sys.modules.get("celery.signals")
    if celery is not None:
        celery.worker_process_shutdown.connect(_celery_child_ends, weak=False, dispatch_uid=__name__)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, _end_all, exitpriority=100)


def _make_sure() -> None:
    if not _unsure:
        return
    if lookup.works(AFTER_FORK_SECONDS):
        _unsure.clear()
        return
    logger.error(
        "this process cannot connect to a broker: it was forked while its parent looked up an address, and glibc's "
        "lock for that stays taken. Its events stay in its spool, or are in the error of close() where there is none. "
        "Restart it; where a parent makes its producer after its forks, or with spawn, this cannot happen"
    )


def _celery_child_ends(**_: object) -> None:
    """The pool sends SIGTERM to children that end, and its handler would end them in the middle of the flush."""
    try:
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except SystemExit:
        # one that was pending: the child ends already
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        _end_all()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def abandon(client: object) -> None:
    """Keep a client from being torn down, which would wait for its threads: a forked child does not have them."""
    import ctypes

    _abandoned.append(client)
    # the interpreter's own end would let go of the list: one reference more is never given back
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))


def _end_all() -> None:
    errors: list[Exception] = []
    # each takes itself off the list when it closes
    for producer in _living.copy():
        try:
            producer.at_exit()
        except Exception as error:  # noqa: BLE001 - each producer has its turn; what they raised is raised below
            errors.append(error)
    if errors:
        raise errors[0] if len(errors) == 1 else ExceptionGroup("producers that did not end well", errors)


def _before_fork() -> None:
    # a client that has just been made, or lost its broker, looks up addresses: not in this moment, if it can be helped
    if _living and not _unsure:
        lookup.works(BEFORE_FORK_SECONDS)
    if _installed:
        # a SIGTERM that comes before the child is ready for it would be forgotten, or left to threads that it has not
        _blocked[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _unblock() -> None:
    before = _blocked.pop(threading.get_ident(), None)
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _after_fork() -> None:
    _unsure[:] = [True]
    PROCESS_CLOCK.reset_after_fork()
    try:
        for producer in _living:
            producer.after_fork()
    finally:
        _unblock()
        _blocked.clear()


def _chain_sigterm() -> None:
    if _installed:
        return
    if threading.current_thread() is not threading.main_thread():
        logger.warning(
            "a producer was made outside the main thread, where no signal can be handled: SIGTERM ends the process "
            "without a flush. Make the producer in the main thread, or call close() in a handler of your own"
        )
        return
    before = signal.getsignal(signal.SIGTERM)
    # one that ignores the signal, or a handler that is not Python's, is left alone
    if before is signal.SIG_DFL or callable(before):
        _installed.append(before)
        signal.signal(signal.SIGTERM, _on_sigterm)


def _unchain_sigterm() -> None:
    if not _installed or threading.current_thread() is not threading.main_thread():
        return
    before = _installed.pop()
    # somebody else's handler stays; a producer made later calls it
    if signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, before)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    before = _installed[0] if _installed else signal.SIG_DFL
    if callable(before):
        if not _handling:
            _handling.append(number)
            try:
                for producer in _living:
                    producer.at_termination(_nothing)
                before(number, frame)
            finally:
                _handling.clear()
        return
    signal.signal(number, signal.SIG_DFL)
    unfinished = list(_living)
    for producer in list(unfinished):
        producer.at_termination(partial(_ended, unfinished, producer, number))
    if not unfinished:
        os.kill(os.getpid(), number)


def _ended(unfinished: list[Living], producer: Living, number: int) -> None:
    unfinished.remove(producer)
    if not unfinished:
        os.kill(os.getpid(), number)


def _nothing() -> None:
    pass
