"""`os._exit`, which ends a process without `atexit`: RQ's work horses and Airflow's tasks end so.

While a producer is open, `os._exit` flushes first and then ends the process with the same status. The flush is bounded,
and a second call during it ends the process at once: a program that calls `os._exit` may be in trouble.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NoReturn

from jobstatus_producer.process.signals import flush_now
from jobstatus_producer.process.state import STATE


def install() -> None:
    """Flush before `os._exit`. Does nothing where that is so already."""
    if os._exit is not STATE.our_exit:
        STATE.real_exit = os._exit
        STATE.our_exit = os._exit = _flushing(os._exit)  # type: ignore[assignment]


def uninstall() -> None:
    """Put the real function back, unless another package has replaced ours."""
    if os._exit is STATE.our_exit:
        os._exit = STATE.real_exit  # type: ignore[assignment]


def _flushing(real_exit: Callable[[int], NoReturn]) -> Callable[[int], NoReturn]:
    """A function that flushes and then calls `real_exit`; as in `os_fork.py`, each has its own."""

    def flush_and_exit(status: int) -> NoReturn:
        """Flush the producers of jobstatus, then exit to the system with `status`, without normal exit processing."""
        try:
            # a forked child inherits the parent's note of its end
            if STATE.exiting_pid != os.getpid():
                STATE.exiting_pid = os.getpid()
                flush_now()
        finally:
            # also where a signal handler raises in the middle of the flush
            real_exit(status)

    return flush_and_exit
