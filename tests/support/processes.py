"""Waiting for a state, and asking about processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial

import psutil


def wait_until(is_true: Callable[[], object], what: str, timeout: float = 60.0) -> None:
    """Block until `is_true()`. The test fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not is_true():
        assert time.monotonic() < deadline, f"not within {timeout:.0f} s: {what}"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def family(pid: int) -> list[int]:
    """The process and everything below it."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def wait_until_gone(pids: Iterable[int], timeout: float = 60.0) -> None:
    for pid in pids:
        wait_until(partial(_is_gone, pid), f"process {pid} is gone", timeout)


def _is_gone(pid: int) -> bool:
    return not is_running(pid)
