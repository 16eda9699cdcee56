"""The end of the process: every open producer is closed, however the process ends by itself.

`atexit` calls its handlers in the reverse order of their registration. This module registers when it is imported, so
every handler that is registered later may still report. After that no producer can be made: it would never be closed,
and what it accepts would be lost.

Children of `multiprocessing` and of Celery's prefork pool do not run `atexit`; they are asked in their own ways.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading

from jobstatus_producer.errors import ProducerClosedError
from jobstatus_producer.process.state import STATE, Registered


def close_all() -> None:
    """Close every open producer. May block for the `close_seconds` of each.

    Raises what a producer raises, when all have had their turn; an exception group where more than one raises. After
    an interrupt (Ctrl-C, a handler that exits) the producers left spool their events, or raise them, without waiting.
    """
    errors: list[BaseException] = []
    seconds: float | None = None
    # a copy: each producer takes itself off the list when it closes
    for producer in STATE.producers.copy():
        try:
            producer.at_exit(seconds)
        except Exception as error:  # noqa: BLE001 - every producer has its turn, and all errors are raised below
            errors.append(error)
        except BaseException as interrupt:  # noqa: BLE001 - as above
            seconds = 0.0
            errors += [interrupt, *_errors_at_exit(producer, seconds)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        # at exit Python prints only the text of a group
        texts = "; ".join(f"{type(error).__name__}: {error}".removesuffix(": ") for error in errors)
        raise BaseExceptionGroup(f"more than one error while the producers were closed: {texts}", errors)


def _errors_at_exit(producer: Registered, seconds: float) -> list[Exception]:
    try:
        producer.at_exit(seconds)
    except Exception as error:  # noqa: BLE001 - raised by the caller
        return [error]
    return []


def _close_all_for_good() -> None:
    STATE.is_over = True
    close_all()


def check_not_over() -> None:
    """Raise `ProducerClosedError` at the end of the process, where a new producer would never be closed."""
    if STATE.is_over:
        raise ProducerClosedError(
            "the process is at its end, and nothing was queued: a producer that is made now would never be closed. "
            "Import jobstatus_producer, and make the producer or report once, before you register the atexit handlers "
            "that report"
        )


def ask_for_end_of_child() -> None:
    """Arrange for the end of a process that does not run `atexit`: a child of `multiprocessing` or of Celery's pool."""
    celery = sys.modules.get("celery.signals")
    if celery is not None:
        celery.worker_process_shutdown.connect(_celery_child_ends, weak=False, dispatch_uid=__name__)
    process = sys.modules.get("multiprocessing.process")
    # a forked child inherits the parent's note of it, but not its finalizers
    if process is not None and process.parent_process() is not None and STATE.finalizer_pid != os.getpid():
        from multiprocessing.util import Finalize

        STATE.finalizer_pid = os.getpid()
        Finalize(None, _close_all_for_good, exitpriority=100)


def _celery_child_ends(**_: object) -> None:
    """Close while SIGTERM is ignored: the pool sends it to children that end already, in the middle of their flush."""
    try:
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except SystemExit:
        # the handler of a signal that was pending: the child ends already
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        close_all()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def abandon(client: object) -> None:
    """Keep `client` from ever being destroyed in this process.

    Its destructor waits for its threads. A forked child does not have them, and at the end of the interpreter there is
    no thread to wait in.
    """
    import ctypes

    STATE.abandoned.append(client)
    # the interpreter empties the list at its end: one reference more is never given back
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))


def _is_past_atexit() -> bool:
    """Whether `atexit` handlers run now: one of them is the first to import this package."""
    main = threading.main_thread()
    return threading.current_thread() is main and not main.is_alive()


if _is_past_atexit():
    # a handler that is registered now is not called any more
    STATE.is_over = True
else:
    atexit.register(_close_all_for_good)
