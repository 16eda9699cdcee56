"""A consumer with one of its promises broken on purpose, to see that the checker says so.

broken.py <what> consume ...
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from jobstatus_consumer.cli import main as entry
from jobstatus_consumer.core.dead_letters import DeadLetter
from jobstatus_consumer.errors import BadRowError, DatabaseAwayError
from jobstatus_consumer.kafka.dead_letters import DeadLetterSender
from jobstatus_consumer.records import Batch, Written
from jobstatus_consumer.store import sqlstate as classify
from jobstatus_consumer.store import writer as store
from jobstatus_consumer.stream import tasks, writer

LATE_SECONDS: Final = 60.0
SLOW_SECONDS: Final = 0.02


def guard() -> None:
    """Every event changes its row; so slowly that somebody who looks sees it."""
    original, write = store.Store._compose, store.Store.write

    def unguarded(self: store.Store, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        self._write, count = re.subn(
            rb"WHERE\s+(--[^\n]*\s+)?\(excluded\.attempt < t\.attempt\).*?END\s+RETURNING",
            b"RETURNING",
            self._write,
            flags=re.DOTALL,
        )
        assert count == 1

    def slowly(self: store.Store, batch: Batch) -> Written:
        time.sleep(SLOW_SECONDS)
        return write(self, batch)

    store.Store._compose = unguarded  # type: ignore[method-assign]
    store.Store.write = slowly  # type: ignore[method-assign]


def commit_order() -> None:
    """A batch counts as written when it is handed to the writer, so its offsets are committed before the write."""
    submit, result = writer.Writer.submit, writer.Writer.result
    early: dict[writer.Writer, tasks.Result] = {}

    def submit_and_answer(self: writer.Writer, task: tasks.Task) -> None:
        # the loop has an answer to each before, and the writer takes as many as come
        self._unanswered = 0
        submit(self, task)
        if isinstance(task, Batch):
            early[self] = tasks.BatchWritten(task, Written(applied=len(task.events)), 0)

    def early_result(self: writer.Writer, timeout: float) -> tasks.Result | None:
        if self in early:
            return early.pop(self)
        found = result(self, timeout)
        return None if isinstance(found, tasks.BatchWritten) else found

    writer.Writer.submit = submit_and_answer  # type: ignore[method-assign]
    writer.Writer.result = early_result  # type: ignore[method-assign]


def classification() -> None:
    """Every error of an unavailable or busy database is classified as a bad row."""
    for state, kind in classify._BY_SQLSTATE.items():
        if kind is DatabaseAwayError:
            classify._BY_SQLSTATE[state] = BadRowError


def dead_letter_order() -> None:
    """Dead letters are sent in the background, some time after their offsets were committed."""
    original = DeadLetterSender.send

    def later(self: DeadLetterSender, letters: Sequence[DeadLetter]) -> None:
        timer = threading.Timer(LATE_SECONDS, original, (self, letters))
        timer.daemon = True
        timer.start()

    DeadLetterSender.send = later  # type: ignore[method-assign]


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
