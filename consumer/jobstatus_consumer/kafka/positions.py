"""Up to where an assigned partition was polled, and in which leader epochs its records were written.

A leader epoch is Kafka's number of a partition's leadership; it rises with every new leader and with every restart of
the only one. A log that lost its tail, and grew again, holds records of a higher epoch at offsets that were read in a
lower one. So an offset together with the epoch of the record before it says which history of the log it belongs to.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Final

from jobstatus_consumer.core import StartOffset
from jobstatus_consumer.records import NO_EPOCH

NEVER: Final = sys.maxsize
"""An offset behind all records: nothing more is taken from the partition."""


@dataclass(slots=True)
class Position:
    """`offset` is the next one. Each record carries the `log_id`.

    `start` is where reading began, and `rebalance` the number of the rebalance that assigned the partition. `epoch` is
    that of the record before `offset`, and `turns` are the offsets at which it changed, with the new epoch. The
    database has read the log up to `known`, in `known_epoch`.
    """

    log_id: str
    start: int
    start_epoch: int
    rebalance: int
    offset: int
    epoch: int
    turns: list[tuple[int, int]] = field(default_factory=list)
    known: int = 0
    known_epoch: int = NO_EPOCH

    @classmethod
    def starting(cls, start: StartOffset, rebalance: int) -> Position:
        """A partition of which nothing was polled yet."""
        return cls(start.log.id, start.offset, start.epoch, rebalance, start.offset, start.epoch)

    def turn(self, offset: int, epoch: int) -> bool:
        """The record at `offset` has a new epoch. True if the database cannot have read this history of the log."""
        self.epoch = epoch
        self.turns.append((offset, epoch))
        return self._contradicts(offset, epoch)

    def expect(self, known: int, known_epoch: int) -> bool:
        """The database has read up to `known`, in `known_epoch`. True if that needs a look at the log.

        Records that were polled may contradict it. A start without an epoch, such as an offset that another tool has
        committed, was not validated by the broker.
        """
        self.known, self.known_epoch = known, known_epoch
        if known_epoch == NO_EPOCH:
            return False
        unvalidated = self.start == known and self.start_epoch == NO_EPOCH
        return unvalidated or any(self._contradicts(*turn) for turn in self.turns)

    def accept(self, known_epoch: int) -> None:
        """The log has what the database has read: a start without an epoch is validated now."""
        if self.start == self.known and self.start_epoch == NO_EPOCH:
            self.start_epoch = known_epoch

    def _contradicts(self, offset: int, epoch: int) -> bool:
        return offset < self.known and epoch > self.known_epoch != NO_EPOCH

    def epoch_before(self, offset: int) -> int:
        """The leader epoch of the record before `offset`."""
        return next((epoch for first, epoch in reversed(self.turns) if first < offset), self.start_epoch)

    @property
    def has_left(self) -> bool:
        """Whether nothing more is taken from the partition until it is sought."""
        return self.offset == NEVER

    def leave(self) -> None:
        """Take nothing more from the partition until it is sought."""
        self.offset = NEVER
