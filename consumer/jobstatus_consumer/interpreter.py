"""How Python's interpreter is set in a process that stays: how often cycles are looked for, how long a thread runs."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final, NamedTuple

OBJECTS: Final = 50_000
"""After so many new containers that are still alive the collector looks at them; Python's default is 700.

An event is two containers, a waiting client some dozens, and few of them are part of a cycle. With the default the
collector looks at each batch of 500 several times, in vain, and now and then at everything that was imported.
"""
TURN: Final = 0.0005
"""Seconds for which a thread keeps the interpreter while another one waits for it; Python's default is 0.005.

A batch of 500 is decoded in less than the default. Meanwhile the writer's thread would have its answer and wait, and so
would the database.
"""


class _Before(NamedTuple):
    threshold: tuple[int, int, int]
    turn: float


_lock: Final = Lock()
_found: Final[list[_Before]] = []
"""What each block under way has found; blocks may overlap and end in any order."""


@contextmanager
def long_running() -> Iterator[None]:
    """Collect cycles seldom, and among new objects only; change threads often. For the whole process."""
    with _lock:
        _found.append(_Before(gc.get_threshold(), sys.getswitchinterval()))
        gc.freeze()
        gc.set_threshold(OBJECTS, *_found[0].threshold[1:])
        sys.setswitchinterval(TURN)
    try:
        yield
    finally:
        with _lock:
            before = _found[0]
            _found.pop()
            if not _found:
                sys.setswitchinterval(before.turn)
                gc.set_threshold(*before.threshold)
                gc.unfreeze()
