"""How often Python's collector of cycles runs in a process that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

OBJECTS: Final = 10_000
"""After so many new containers that are still alive the collector looks at them; Python's default is 700.

An event is two containers, a waiting client some dozens, and few of them are part of a cycle. With the default the
collector looks at each batch of 500 several times, in vain, and now and then at everything that was imported.
"""


_lock: Final = Lock()
_asked_for: Final[list[tuple[int, int, int]]] = []
"""The thresholds that each block under way has found; blocks may overlap and end in any order."""


@contextmanager
def few_collections() -> Iterator[None]:
    """Collect cycles seldom, and among new objects only: what was made at the start stays. For the whole process."""
    with _lock:
        _asked_for.append(gc.get_threshold())
        gc.freeze()
        gc.set_threshold(OBJECTS, *_asked_for[0][1:])
    try:
        yield
    finally:
        with _lock:
            before = _asked_for[0]
            _asked_for.pop()
            if not _asked_for:
                gc.set_threshold(*before)
                gc.unfreeze()
