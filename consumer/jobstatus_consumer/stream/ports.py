"""What the writer's thread needs of the database and of the dead letters' topic."""

from __future__ import annotations

from typing import Protocol

from jobstatus_consumer.core import DeadLetter
from jobstatus_consumer.records import Batch, TopicProgress, Written


class SendingPort(Protocol):
    """What several batches in flight need of the database; `jobstatus_consumer.store.SendingStore` has it."""

    def send(self, batch: Batch) -> bool:
        """Send a batch behind the others; False if it has to be written alone."""

    def receive(self, wake: int | None) -> Written | None:
        """What became of the oldest batch. Blocks until it is known, or until `wake` is readable: then None."""

    def rest(self) -> None:
        """Make the connection usable for anything else."""


class StorePort(SendingPort, Protocol):
    """What the writer needs of the database; `jobstatus_consumer.store.SendingStore` is one."""

    @property
    def connected(self) -> bool:
        """False before `connect` and after the connection broke."""

    def connect(self) -> None:
        """Open a new connection, prepared from scratch."""

    def topic_progress(self, topic: str) -> TopicProgress:
        """Return what the database has of each log of the topic."""

    def encode(self, batch: Batch) -> Batch:
        """Do what can be done of a write without the database. May be called from another thread."""

    def write(self, batch: Batch) -> Written:
        """Write the batch; rows that the database rejects are isolated."""

    @property
    def statement_age(self) -> float:
        """Seconds since the running statement was sent; 0 if none runs."""

    def cut(self) -> None:
        """Break the connection under a statement that gets no answer. May be called from another thread."""

    def close(self) -> None:
        """Close the connection."""


class SenderPort(Protocol):
    """What the writer needs of the dead letters' topic."""

    def send(self, letters: list[DeadLetter]) -> None:
        """Send the letters, and return when all are acknowledged."""
