"""How often Python's collector of cycles runs in a process that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

OBJECTS: Final = 10_000
"""After so many new containers that are still alive the collector looks at them; Python's default is 700.

An event is two containers, a waiting client some dozens, and few of them are part of a cycle. With the default the
collector looks at each batch of 500 several times, in vain, and now and then at everything that was imported.
"""


@contextmanager
def few_collections() -> Iterator[None]:
    """Collect cycles seldom, and among new objects only: what was made at the start stays. For the whole process."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
