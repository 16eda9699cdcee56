"""A process forks, is told to stop, and ends: what each means for the producers in it.

SIGTERM: the handler that was there before is called by ours, after the flush has been begun in the background. Where
there was none, the flush comes first and then the signal does what it would have done. The handler takes no lock and
waits for nothing, because it may have interrupted any line of the main thread. A second SIGTERM ends at once.

The end: this module asks for its turn when it is imported, so that every `atexit` handler that is registered later may
still report. After that turn no producer begins: nobody would end it, and what it accepts would be lost.
"""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, Final, NamedTuple, Protocol

from jobstatus_producer.clock import PROCESS_CLOCK
from jobstatus_producer.errors import ProducerClosedError
from jobstatus_producer.log import logger
from jobstatus_producer.process import dns_after_fork as lookup
from jobstatus_producer.spool.lock import SQLITE_LOCK, reset_sqlite_lock

BEFORE_FORK_SECONDS: Final = 1.0
AFTER_FORK_SECONDS: Final = 1.0


class _Fork(NamedTuple):
    """A fork under way: the signals that were blocked before it, if they are to be restored, and whether it waited for
    SQLite."""

    mask: set[int | signal.Signals] | None
    guarded: bool


class Living(Protocol):
    """What a producer does at the turns of a process's life."""

    def at_exit(self, seconds: float | None = None) -> None:
        """Bounded: deliver, spool, or raise with the events."""

    def at_termination(self, then: Callable[[], None] | None) -> None:
        """Begin to flush without waiting or taking a lock.

        When that is done, end, and call `then` from another thread. None: the process goes on, and so does this.
        """

    def after_fork(self) -> None:
        """This is the child: nothing of the parent's client works here, and its events are the parent's."""


_living: Final[list[Living]] = []
_abandoned: Final[list[object]] = []
_unsure: Final[list[bool]] = []
"""Whether this process, a forked one, has yet to show that it can look up addresses."""
_installed: list[Any] = []
"""The SIGTERM handler that was there before ours, if ours is installed."""
_hooked: list[bool] = []
_handling: Final[list[FrameType | None]] = []
"""What the signals that are being handled have interrupted."""
_forks: Final[dict[int, list[_Fork]]] = {}
"""Those under way, by thread."""
_finalized: Final[list[int]] = []
"""The process of which `multiprocessing` was told how it ends."""
_over: Final[list[bool]] = []
"""Whether the producers of this process have had their turn at its end."""


def register(producer: Living) -> None:
    """From now until `unregister` the producer is told."""
    _living.append(producer)
    if not _hooked:
        _hooked.append(True)
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork)
    started_here()
    _chain_sigterm()


def unregister(producer: Living) -> None:
    """The producer is closed."""
    if producer in _living:
        _living.remove(producer)
    if not _living:
        _unchain_sigterm()


def check_not_over() -> None:
    """Raise `ProducerClosedError` where a producer that begins now would never be told of the end."""
    if _over:
        raise ProducerClosedError(
            "the process is at its end, and what is reported now would be lost; nothing was queued. Import "
            "jobstatus_producer, and make the producer or report once, before the atexit handlers that report are "
            "registered"
        )


def started_here() -> None:
    """A producer begins to work in this process: some children end without running `atexit`.

    Those of `multiprocessing` do, and those of Celery's prefork pool, which then may be killed at any moment.
    """
    _make_sure()
    celery = sys.modules.get("celery.signals")
    if celery is not None:
        celery.worker_process_shutdown.connect(_celery_child_ends, weak=False, dispatch_uid=__name__)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None and _finalized != [os.getpid()]:
        from multiprocessing.util import Finalize

        _finalized[:] = [os.getpid()]
        Finalize(None, _end_for_good, exitpriority=100)


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
    errors: list[BaseException] = []
    seconds = None
    # each takes itself off the list when it closes
    for producer in _living.copy():
        try:
            producer.at_exit(seconds)
        except Exception as error:  # noqa: BLE001 - each producer has its turn; what they raised is raised below
            errors.append(error)
        except BaseException as error:  # noqa: BLE001 - Ctrl-C, or a handler that exits: spool, or raise, without waiting
            seconds = 0.0
            errors.append(error)
            try:
                producer.at_exit(seconds)
            except Exception as undelivered:  # noqa: BLE001 - as above
                errors.append(undelivered)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        # what cannot be raised any more is printed by its own text alone
        told = "; ".join(f"{type(error).__name__}: {error}".removesuffix(": ") for error in errors)
        raise BaseExceptionGroup(f"producers that did not end well: {told}", errors)


def _end_for_good() -> None:
    _over[:] = [True]
    _end_all()


def _before_fork() -> None:
    thread = threading.get_ident()
    mask = None
    if not _forks.get(thread) and signal.getsignal(signal.SIGTERM) is _on_sigterm:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    # what SQLite holds in other threads would be held in the child for ever
    guarded = SQLITE_LOCK.acquire(timeout=BEFORE_FORK_SECONDS)
    _forks.setdefault(thread, []).append(_Fork(mask, guarded))
    if mask is not None:
        # a SIGTERM that comes before the child is ready for it would be forgotten, or left to threads that it has not
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _after_fork_in_parent() -> None:
    forks = _forks.get(threading.get_ident())
    if not forks:
        return
    try:
        if forks[-1].guarded:
            SQLITE_LOCK.release()
        if forks[-1].mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, forks[-1].mask)
    finally:
        forks.pop()


def _after_fork() -> None:
    forks = _forks.get(threading.get_ident(), [])
    if forks and forks[-1].guarded:
        SQLITE_LOCK.release()
    else:
        reset_sqlite_lock()
    _unsure[:] = [True]
    _handling.clear()
    PROCESS_CLOCK.reset_after_fork()
    try:
        for producer in _living:
            producer.after_fork()
        # the first of them, where a signal's handler forked in the middle of a fork
        if forks and forks[0].mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, forks[0].mask)
    finally:
        _forks.clear()


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
    if _forks.get(threading.get_ident()):
        # what a handler raises in the middle of a fork goes nowhere
        _thread.start_new_thread(_tell_again, (number,))
        return
    before = _installed[0] if _installed else signal.SIG_DFL
    if callable(before):
        # a handler that ours calls may call ours; a second signal has a frame of its own
        if not any(frame is known for known in _handling):
            _handling.append(frame)
            try:
                for producer in _living:
                    producer.at_termination(None)
                before(number, frame)
            finally:
                _handling.pop()
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


def _tell_again(number: int) -> None:
    time.sleep(0.01)
    os.kill(os.getpid(), number)


def _is_past_atexit() -> bool:
    """Whether the main thread runs what comes after the program: an `atexit` handler that imports this module."""
    main = threading.main_thread()
    return threading.current_thread() is main and not main.is_alive()


if _is_past_atexit():
    # what is registered now is not called any more
    _over.append(True)
else:
    atexit.register(_end_for_good)
