"""SIGTERM: our handler begins a flush and then lets the signal do what it would have done without us.

With a handler of the application: the flush begins in the background, and the application's handler is called at once.
Without one: the flush comes first, and then the signal ends the process. A second SIGTERM ends the process at once.

The handler may interrupt any line of the main thread. So it takes no lock and never blocks.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, Final

from jobstatus_producer.log import logger
from jobstatus_producer.process.state import STATE, Registered

RESEND_SECONDS: Final = 0.01


def install() -> None:
    """Put our handler before the one that is there. Does nothing if ours is installed, or SIGTERM is ignored.

    Outside the main thread Python allows no signal handlers. If SIGTERM has none, a warning says what it does. If it
    has one, the application decides that.
    """
    before = signal.getsignal(signal.SIGTERM)
    # a framework may have taken ours away in a forked child. One that it has put over ours stays
    if STATE.previous_sigterm is not None and before is not signal.SIG_DFL:
        return
    if threading.current_thread() is not threading.main_thread():
        if before is signal.SIG_DFL:
            _warn_of_no_flush()
        return
    # SIG_IGN stays: the process wants to ignore the signal. None is a handler in C, which Python can neither call nor
    # put back
    if before is signal.SIG_DFL or callable(before):
        # first the one to call, then ours that calls it: the signal may come in between
        STATE.previous_sigterm = before
        signal.signal(signal.SIGTERM, handle)


def _warn_of_no_flush() -> None:
    logger.warning(
        "a producer was made outside the main thread, where no signal can be handled: SIGTERM ends the process "
        "without a flush. Make the producer in the main thread, or call close() in a handler of your own"
    )


def uninstall() -> None:
    """Put the previous handler back, unless the application has installed another one over ours."""
    before = STATE.previous_sigterm
    if before is None or threading.current_thread() is not threading.main_thread():
        return
    try:
        # a handler that the application has put over ours stays; a producer that is made later calls it
        if is_installed():
            signal.signal(signal.SIGTERM, before)
    finally:
        # a signal in between needs the previous handler, which may raise: as long as ours is installed it is kept
        if not is_installed():
            STATE.previous_sigterm = None


def is_installed() -> bool:
    """Whether SIGTERM calls our handler first."""
    return signal.getsignal(signal.SIGTERM) is handle


def handle(number: int, frame: FrameType | None) -> None:
    """The SIGTERM handler. Python calls it in the main thread, between any two lines."""
    if STATE.forks.get(threading.get_ident()):
        # Python ignores what a handler raises inside a fork hook, so the application's handler must not run there
        _thread.start_new_thread(_send_again, (number,))
        return
    before = STATE.previous_sigterm
    if callable(before):
        _call_applications(before, number, frame)
    else:
        _flush_and_end(number)


def _call_applications(before: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None) -> None:
    # the application's handler may call ours again, with the same frame; a second signal interrupts another frame
    if any(frame is interrupted for interrupted in STATE.interrupted_frames):
        return
    STATE.interrupted_frames.append(frame)
    try:
        for producer in STATE.producers:
            producer.at_termination(None)
        before(number, frame)
    finally:
        # a handler that forks returns in the child, too, and a fork has emptied the list there
        if STATE.interrupted_frames:
            STATE.interrupted_frames.pop()


def _flush_and_end(number: int) -> None:
    # from here a second signal ends the process at once
    signal.signal(number, signal.SIG_DFL)
    _flush_then(partial(os.kill, os.getpid(), number))


def flush_now() -> None:
    """Flush and end every producer: the process ends next, without `atexit`. What is lost is logged.

    Blocks until that is done, within the bounds of the producers.
    """
    for producer in STATE.producers.copy():
        if producer.is_interrupted:
            # its own thread would wait for the lock of the call, which never goes on
            with suppress(Exception):
                producer.at_exit()
    flushed = threading.Event()
    bound = max((producer.end_seconds for producer in STATE.producers), default=0.0)
    _flush_then(flushed.set)
    flushed.wait(bound)


def _flush_then(end: Callable[[], object]) -> None:
    unfinished = list(STATE.producers)
    if not unfinished:
        end()
    for producer in list(unfinished):
        producer.at_termination(partial(_finished, unfinished, producer, end))


def _finished(unfinished: list[Registered], producer: Registered, end: Callable[[], object]) -> None:
    """Called in each producer's own thread, and the last of them calls `end`."""
    unfinished.remove(producer)
    if not unfinished:
        end()


def _send_again(number: int) -> None:
    time.sleep(RESEND_SECONDS)
    os.kill(os.getpid(), number)
