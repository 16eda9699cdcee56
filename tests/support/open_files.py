"""That what is let go of closes its files at once, and does not wait for Python's collector of cycles."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from support.waiting import until


def open_files() -> int:
    """The descriptors of this process; listing them takes one."""
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def without_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def assert_leaves_no_file(work: Callable[[], object], *, times: int = 3, spare: int = 0) -> None:
    """Repeat `work`; the process has at most `spare` descriptors more than after the first time."""
    with without_collections():
        work()
        before = open_files()
        for _ in range(times):
            work()
        until(lambda: open_files() <= before + spare, f"at most {before} + {spare} open files, not {open_files()}")
