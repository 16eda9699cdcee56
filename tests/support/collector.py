"""Keeps the garbage collector from what pytest has collected: half a million objects that live as long as the process.

Going through them takes a third of a second of processor time, in each of the session's processes, again and again.
"""

from __future__ import annotations

import gc


def pytest_sessionstart() -> None:
    """Collecting tests makes little garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """From here on the collector works, and looks at newer objects alone."""
    gc.freeze()
    gc.enable()
