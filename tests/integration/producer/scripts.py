"""Workers of their own: scripts in fresh interpreters, because a test must not fork or kill its own process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from support.forked import COMMAND, Command

NOBODY: Final = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
"""The environment of a producer without a broker."""
PRELUDE: Final = """
import os, sys, signal, time, threading
from jobstatus_producer import JobStatusProducer

def rest():
    # in short sleeps: of a signal that comes just before a sleep, Python tells its handler only after it
    while True:
        time.sleep(0.05)
"""

_started: list[subprocess.Popen[str]] = []


def start(script: str, environ: Mapping[str, str], *, prelude: str = PRELUDE) -> subprocess.Popen[str]:
    """Run `script` after `prelude`; its output is read through pipes, and its input stays open until `end`."""
    arguments = [sys.executable, "-W", "error", "-c", prelude + textwrap.dedent(script)]
    return launch(arguments, environ, stdin=subprocess.PIPE)


def launch(
    arguments: Sequence[str], environ: Mapping[str, str], stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    """Run a command, in a session of its own, whose output is read through pipes."""
    starter: type[subprocess.Popen[str]] = Command if arguments[0] == COMMAND else subprocess.Popen
    process = starter(
        arguments,
        env={"PATH": "/usr/bin:/bin", **environ},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _started.append(process)
    return process


def kill_what_is_left() -> None:
    """After a test that failed in the middle."""
    while _started:
        process = _started.pop()
        _kill(process)
        process.communicate()


def _kill(process: subprocess.Popen[str]) -> None:
    """With its children, which would keep the pipes open."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def read_line(process: subprocess.Popen[str]) -> str:
    """The next line of its standard output; its stderr, if it ends instead."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        assert process.stderr is not None
        raise AssertionError(f"it ended with {process.wait(30)}:\n{process.stderr.read()}")
    return line.strip()


def end(process: subprocess.Popen[str], timeout: float = 60) -> tuple[int, str, str]:
    """Its exit code and the rest of its output; killed at `timeout`."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _kill(process)
        out, err = process.communicate()
        raise AssertionError(f"did not end within {timeout:g} s:\n{out}\n{err}") from None
    return process.returncode, out, err


def run(script: str, environ: Mapping[str, str], *, prelude: str = PRELUDE) -> tuple[int, str, str]:
    """Its exit code and its output."""
    return end(start(script, environ, prelude=prelude))
