"""What the loop asks of the writer's thread, and what it gets: each is made once and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from jobstatus_consumer.records import Batch, Written

IN_HAND: Final = 1
"""Batches that the writer has beside those in flight. Each is encoded, so that it is sent as soon as there is room."""


@dataclass(frozen=True, slots=True)
class ReadProgress:
    """Task: read the progress that the database has of the topic."""


@dataclass(frozen=True, slots=True)
class ProgressRead:
    """Result of `ReadProgress`: the next offset of each log of the topic that the database knows, old logs too.

    `epochs` are the leader epochs of the records before those offsets.
    """

    progress: Mapping[str, int]
    epochs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BatchWritten:
    """Result of a batch: it is written, and its dead letters are acknowledged."""

    batch: Batch
    written: Written
    dead_letters: int


@dataclass(frozen=True, slots=True)
class BatchReturned:
    """Result of a batch that was not written, because the connection is new: compare `progress`, submit it again.

    No batch behind it was written either: submit them again, too.
    """

    batch: Batch
    progress: Mapping[str, int]
    epochs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stopped:
    """Result of a task that a stop request ended: commit nothing of it."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Result of a task that cannot be done: stop, commit nothing."""

    error: BaseException


Task = Batch | ReadProgress
Result = ProgressRead | BatchWritten | BatchReturned | Stopped | Failed
ForAll = BatchReturned | Stopped | Failed
"""The result of every task that has none yet."""
