"""`os._exit`, which ends a process without `atexit`: RQ's work horses and Airflow's tasks end so.

While a producer is open, `os._exit` flushes first and then ends the process with the same status. The flush is bounded,
and a second call during it ends the process at once: a program that calls `os._exit` may be in trouble.
"""

from __future__ import annotations

import os
from typing import NoReturn

from jobstatus_producer.process.signals import flush_now
from jobstatus_producer.process.state import STATE


def install() -> None:
    """Flush before `os._exit`. Does nothing where that is so already."""
    if os._exit is not _flush_and_exit:
        STATE.real_exit = os._exit
        os._exit = _flush_and_exit


def uninstall() -> None:
    """Put the real function back, unless another package has replaced ours."""
    if os._exit is _flush_and_exit:
        os._exit = STATE.real_exit  # type: ignore[assignment]


def _flush_and_exit(status: int) -> NoReturn:
    """Flush the producers of jobstatus, then exit to the system with `status`, without normal exit processing."""
    try:
        # a forked child inherits the parent's note of its end
        if STATE.exiting_pid != os.getpid():
            STATE.exiting_pid = os.getpid()
            flush_now()
    finally:
        # also where a signal handler raises in the middle of the flush
        STATE.real_exit(status)
