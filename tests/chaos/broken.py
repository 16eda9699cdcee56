"""A consumer with one of its promises broken on purpose, to see that the checker says so.

broken.py <what> consume ...
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from jobstatus_consumer.cli import main as entry
from jobstatus_consumer.errors import BadRowError, DatabaseAwayError
from jobstatus_consumer.records import Batch
from jobstatus_consumer.store import sqlstate as classify
from jobstatus_consumer.store import writer as store
from jobstatus_consumer.stream import pipeline, writer

LATE_SECONDS: Final = 12.0


def guard() -> None:
    """Every event changes its row."""
    original = store.Store.__init__

    def unguarded(self: store.Store, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        self._write, count = re.subn(
            rb"WHERE\s+(--[^\n]*\s+)?\(excluded\.attempt < t\.attempt\).*?END\s+RETURNING",
            b"RETURNING",
            self._write,
            flags=re.DOTALL,
        )
        assert count == 1

    store.Store.__init__ = unguarded  # type: ignore[method-assign]


def commit_order() -> None:
    """The offsets of a batch are committed when it is handed to the writer."""
    original = pipeline.Pipeline._submit

    def committed_first(self: pipeline.Pipeline, batch: Batch) -> None:
        for span in batch.spans:
            self._partitions[span.partition].safe = span.end
        self._commit(wait=True)
        original(self, batch)

    pipeline.Pipeline._submit = committed_first  # type: ignore[method-assign]


def classification() -> None:
    """Whatever says that the database is away or busy is taken for a bad row."""
    for state, kind in classify._BY_SQLSTATE.items():
        if kind is DatabaseAwayError:
            classify._BY_SQLSTATE[state] = BadRowError


def dead_letter_order() -> None:
    """Dead letters are sent in the background, some time after their offsets were committed."""
    original = writer.Writer._send

    def later(self: writer.Writer, rejected: list[Any]) -> None:
        timer = threading.Timer(LATE_SECONDS, original, (self, rejected))
        timer.daemon = True
        timer.start()

    writer.Writer._send = later  # type: ignore[method-assign]


WAYS: Final[Mapping[str, Callable[[], None]]] = {
    "guard": guard,
    "commit-order": commit_order,
    "classification": classification,
    "dead-letter-order": dead_letter_order,
}


def broken_command(what: str) -> tuple[str, ...]:
    """The command that stands for `jobstatus`."""
    return sys.executable, __file__, what


if __name__ == "__main__":
    WAYS[sys.argv.pop(1)]()
    entry.main()
