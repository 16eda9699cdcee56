"""The command line run inside the test's own process: the same entry, arguments, environment and exit codes.

A process of its own takes most of a second to import everything; it is used where a signal or a kill is the matter.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING
from unittest import mock

from jobstatus_consumer.cli import main as entry

if TYPE_CHECKING:
    from support.deployment import Deployment


@contextlib.contextmanager
def whole_process_restored() -> Iterator[None]:
    """What the command's entry sets for the whole process, its log and its hooks, is as before at the end."""
    logger = logging.getLogger("jobstatus")
    before = logger.handlers, logger.level, logger.propagate
    hooks = sys.excepthook, threading.excepthook
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before[0], before[2]
        sys.excepthook, threading.excepthook = hooks
        logger.setLevel(before[1])


def run_inside(
    deployed: Deployment, *arguments: str, code: int | None = 0, **environ: str
) -> subprocess.CompletedProcess[str]:
    """As `Deployment.run`."""
    out, err = io.StringIO(), io.StringIO()
    with (
        whole_process_restored(),
        mock.patch.dict(os.environ, {**deployed.environ, **environ}, clear=True),
        mock.patch.object(sys, "argv", ["jobstatus", *arguments]),
        mock.patch.object(sys, "stdin", io.StringIO()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = _exit_code()
    done = subprocess.CompletedProcess(list(arguments), status, out.getvalue(), err.getvalue())
    assert code is None or status == code, f"{arguments}: {status}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done


def _exit_code() -> int:
    try:
        entry.main()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 0
