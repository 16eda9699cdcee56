"""The partitions that this member has: the log behind each one, and how far its offsets have come.

This is the one owner of the fact which log a partition is. All offsets are next offsets, and each follows the one
before it:

    buffered       polled, and in a batch
    written        in PostgreSQL, and the dead letters before it are acknowledged
    commit_sent    given to the Kafka client to commit
    commit_acked   acknowledged by the broker

1. Only the writer's result moves `written`, and never past an offset that was not written.
2. Only `written` is committed.
3. A result counts only for a partition that was neither assigned nor rewound since its task was submitted. The
   `assignment_epoch` says so: it counts assignments and rewinds, and a task is submitted together with the epoch.
4. A partition is written only after it was compared with the progress that the database has.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from jobstatus_consumer.core import StartOffset, Watermarks, after_the_cut, newest_log, rewind_to, start_of, unknown_log
from jobstatus_consumer.kafka import AssignedPartition, LogCut
from jobstatus_consumer.records import NO_EPOCH, Log, LogRange

logger = logging.getLogger("jobstatus.consumer")

NOTHING_KNOWN: Final[Mapping[str, int]] = MappingProxyType({})
UNKNOWN: Final = -1
"""No offset: a commit failed, so nobody knows what the broker has."""


class Compared(Enum):
    """What the comparison of a partition with the database's progress still has to find out."""

    NOT_YET = auto()
    """whether the database has everything before the group's commit"""
    NOTHING_COMMITTED = auto()
    """as well, whether the database has progress of a deleted topic of the same name"""
    LOSS_ACCEPTED = auto()
    """as well, which incarnation is new: the commit that lost offsets did not name its log"""
    DONE = auto()


@dataclass(slots=True)
class Partition:
    """One assigned partition. `low` and `high` are the watermarks that its log had when the partition was assigned."""

    log: Log
    low: int
    high: int
    buffered: int
    written: int
    commit_sent: int
    commit_acked: int
    assignment_epoch: int
    compared: Compared

    @classmethod
    def starting(cls, start: StartOffset, watermarks: Watermarks, epoch: int, compared: Compared) -> Partition:
        """A partition of which nothing was read yet."""
        at = start.offset
        return cls(start.log, *watermarks, at, at, at, at, epoch, compared)


class Assignment:
    """The partitions that this member has, by number. Pure: it asks neither Kafka nor PostgreSQL."""

    def __init__(self, *, accept_loss: bool) -> None:
        self._accept_loss = accept_loss
        self.partitions: dict[int, Partition] = {}
        self.epoch = 0
        # something that was in a log at its assignment is not buffered yet
        self._backlog = False
        # by partition: the loss of its log's tail, which is not acted upon yet
        self._cuts: dict[int, LogCut] = {}

    # -- partitions come and go -------------------------------------------------------------------------------------

    def add(self, item: AssignedPartition) -> StartOffset:
        """Take a partition, and return where to start it. Raises `OffsetsLostError`."""
        commit, watermarks = item.committed, Watermarks(item.low, item.high)
        start = start_of(
            item.log,
            commit.offset,
            commit.topic_id,
            watermarks,
            accept_loss=self._accept_loss,
            epoch=commit.epoch,
        )
        if commit.offset is None:
            compared = Compared.NOTHING_COMMITTED
        elif not commit.topic_id and start.log.incarnation > item.log.incarnation:
            compared = Compared.LOSS_ACCEPTED
        else:
            compared = Compared.NOT_YET
        self.epoch += 1
        self.partitions[start.log.partition] = Partition.starting(start, watermarks, self.epoch, compared)
        self._backlog = True
        if item.cut is not None:
            self.note_cut(item.cut)
        return start

    def remove(self, numbers: Iterable[int]) -> None:
        """Forget partitions that were revoked or lost."""
        for number in numbers:
            self.partitions.pop(number, None)
            self._cuts.pop(number, None)

    def rewind(self, start: StartOffset) -> None:
        """Read a partition again from `start`. What was submitted before no longer counts for it."""
        partition = self.partitions[start.log.partition]
        partition.log = start.log
        self._cuts.pop(start.log.partition, None)
        partition.buffered = partition.written = start.offset
        self._backlog = True
        self.epoch += 1
        partition.assignment_epoch = self.epoch

    # -- logs that lost their tail ----------------------------------------------------------------------------------

    def note_cut(self, cut: LogCut) -> None:
        """The log of a partition lost its tail. What was buffered before is written first."""
        if cut.partition in self.partitions:
            self._cuts[cut.partition] = cut

    def is_cut(self, number: int) -> bool:
        """Whether the log of a partition lost its tail, and reading has yet to go back behind the cut."""
        return number in self._cuts

    def after_cuts(self) -> list[StartOffset]:
        """Where to continue behind the cuts, for partitions that are compared and have nothing left to write."""
        ready = [cut for number, cut in self._cuts.items() if self._has_ended(self.partitions[number])]
        return [self.after_cut(cut) for cut in ready]

    @staticmethod
    def _has_ended(partition: Partition) -> bool:
        return partition.compared is Compared.DONE and partition.written == partition.buffered

    def after_cut(self, cut: LogCut) -> StartOffset:
        """Where to continue behind a cut."""
        return after_the_cut(self.partitions[cut.partition].log, cut.read, cut.end, cut.epoch)

    def backlog_polled(self) -> bool:
        """True once after an assignment or a rewind: when all is buffered that was in the logs at the assignment."""
        if not self._backlog or any(item.buffered < item.high for item in self.partitions.values()):
            return False
        self._backlog = False
        return True

    @property
    def topic_id(self) -> str | None:
        """The id of the topic that is read; None without a partition."""
        return next((partition.log.topic_id for partition in self.partitions.values()), None)

    # -- the database's progress ------------------------------------------------------------------------------------

    @property
    def all_compared(self) -> bool:
        """False while a partition has yet to be compared."""
        return all(partition.compared is Compared.DONE for partition in self.partitions.values())

    def compare(
        self, progress: Mapping[str, int], epoch: int, leader_epochs: Mapping[str, int] = NOTHING_KNOWN
    ) -> list[StartOffset]:
        """Compare with the next offsets that the database has, asked for at `epoch`; return the rewinds to make.

        `leader_epochs` are those of the records before them. Partitions assigned or rewound since `epoch` are left
        out. Raises `OffsetsLostError` where the log no longer
        has what the database lacks.
        """
        starts = [start for item in self._unchanged(epoch) if (start := self._compare(item, progress)) is not None]
        return [
            start._replace(epoch=leader_epochs.get(start.log.id, NO_EPOCH))
            if start.offset == progress.get(start.log.id)
            else start
            for start in starts
        ]

    def logs_unchanged(self, epoch: int) -> list[Log]:
        """The logs of the partitions that were neither assigned nor rewound since `epoch`."""
        return [item.log for item in self._unchanged(epoch)]

    def _unchanged(self, epoch: int) -> list[Partition]:
        return [item for item in self.partitions.values() if item.assignment_epoch <= epoch]

    def _compare(self, partition: Partition, progress: Mapping[str, int]) -> StartOffset | None:
        before, partition.compared = partition.compared, Compared.DONE
        log = newest_log(partition.log, progress, fresh=before is Compared.LOSS_ACCEPTED)
        if before is Compared.NOTHING_COMMITTED:
            unknown_log(log, progress, partition.low, accept_loss=self._accept_loss)
        start = rewind_to(log, partition.written, partition.low, progress.get(log.id), accept_loss=self._accept_loss)
        if log == partition.log:
            return start
        # another member accepted a loss here, and the current commit was made by a tool that does not know of it
        logger.info("%s has a newer incarnation; continuing as %s", partition.log.id, log.id)
        return start or StartOffset(log, partition.written)

    # -- offsets ----------------------------------------------------------------------------------------------------

    def changed_since(self, epoch: int, numbers: Iterable[int]) -> set[int]:
        """Those of `numbers` that were assigned, rewound or taken away since `epoch`."""
        found = ((number, self.partitions.get(number)) for number in numbers)
        return {number for number, item in found if item is None or item.assignment_epoch > epoch}

    def mark_written(self, ranges: Iterable[LogRange], epoch: int) -> None:
        """Move `written` over the offsets of a batch that was submitted at `epoch` and is written now."""
        for item in ranges:
            partition = self.partitions.get(item.partition)
            if partition is None or partition.assignment_epoch > epoch:
                continue
            if item.start > partition.written:
                raise RuntimeError(
                    f"offsets {partition.written} to {item.start} of {item.log_id} were never written, and a batch "
                    "behind them was: a bug in jobstatus; stopped, and nothing behind them was committed"
                )
            partition.written = max(partition.written, item.end)

    def written(self) -> dict[Log, int]:
        """What is written of every partition, committed or not."""
        return {partition.log: partition.written for partition in self.partitions.values()}

    def to_commit(self, *, acked: bool, only: Collection[int] | None = None) -> dict[Log, int]:
        """What is written and not yet committed; with `acked`, also what was sent and is not acknowledged."""
        return {
            partition.log: partition.written
            for number, partition in self.partitions.items()
            if partition.written != (partition.commit_acked if acked else partition.commit_sent)
            and (only is None or number in only)
        }

    def mark_committed(self, offsets: Mapping[Log, int], *, acked: bool) -> None:
        """These offsets were given to the client; with `acked`, the broker has acknowledged them."""
        for log, offset in offsets.items():
            partition = self.partitions[log.partition]
            partition.commit_sent = offset
            # what is only sent replaces what was acknowledged: after a rewind it may be lower
            partition.commit_acked = offset if acked else UNKNOWN

    def mark_not_committed(self, numbers: Iterable[int]) -> None:
        """The last commit of these partitions failed: it has to be made again where they are still assigned."""
        for number in self.partitions.keys() & set(numbers):
            self.partitions[number].commit_sent = UNKNOWN

    def lag(self, high: Callable[[int], int]) -> dict[int, int]:
        """How many offsets are not written yet, by partition; `high` returns a partition's high watermark."""
        return {number: max(0, high(number) - item.written) for number, item in self.partitions.items()}


def named(partitions: Iterable[int]) -> str:
    """Return the partitions' numbers in order, or `none`."""
    return ", ".join(str(number) for number in sorted(partitions)) or "none"
