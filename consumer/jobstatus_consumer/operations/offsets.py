"""The group's offsets beside the log and the table, and how they are moved together with the table's progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import Watermarks
from jobstatus_consumer.errors import JobStatusError
from jobstatus_consumer.kafka import CommittedOffset, RangeReader, Topics, commits, reset
from jobstatus_consumer.operations.scope import current_logs, find
from jobstatus_consumer.records import Log
from jobstatus_consumer.store import Table


class PartitionState(NamedTuple):
    """One partition: what the log has, what the group has committed, and what the table has."""

    log: Log
    watermarks: Watermarks
    commit: CommittedOffset
    known: int | None

    @property
    def lag(self) -> int:
        """The number of offsets that the group has not committed yet."""
        return self.watermarks.high - (self.watermarks.low if self.commit.offset is None else self.commit.offset)

    @property
    def lost(self) -> bool:
        """Whether the log no longer has what the group needs next."""
        offset = self.commit.offset
        inside = offset is None or self.watermarks.low <= offset <= self.watermarks.high
        return not inside and not self.made_again

    @property
    def made_again(self) -> bool:
        """Whether the commit is of an earlier topic of this name."""
        return self.commit.topic_id not in ("", self.log.topic_id)


class Move(NamedTuple):
    """The next offset of a partition before and after a reset, and the log it is in."""

    log: Log
    before: int | None
    after: int

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {"partition": self.log.partition, "from": self.before, "to": self.after, "log_id": self.log.id}


def partition_states(
    settings: Settings, topics: Topics, reader: RangeReader, known: Mapping[str, int]
) -> list[PartitionState]:
    """All partitions of the topic; `known` is the table's progress. Asks the broker."""
    committed = commits(settings, topics)
    logs = current_logs(reader, committed, known)
    return [
        PartitionState(logs[number], watermarks, committed.get(number, CommittedOffset()), known.get(logs[number].id))
        for number, watermarks in reader.watermarks().items()
    ]


def offsets_at(reader: RangeReader, where: str) -> dict[int, int]:
    """By partition the next offset at `where`: beginning, now, P:N[,P:N...] or a time. Raises `SettingsError`."""
    if where.strip() == "now":
        return {number: watermarks.high for number, watermarks in reader.watermarks().items()}
    return {item.partition: item.start for item in find(reader, where, "now").ranges}


def move_of(place: PartitionState, offset: int) -> Move:
    """How the group gets to this offset of a partition."""
    log = place.log
    if place.lost:
        # as the consumer does where a loss is accepted: low offsets must not be taken for those of the old log
        log = log._replace(incarnation=log.incarnation + 1)
    return Move(log, place.commit.offset, offset)


def move_group(settings: Settings, topics: Topics, table: Table, moves: Sequence[Move]) -> None:
    """Move the table's progress and the group's offsets. The group must have no members. Blocks."""
    # the table first: its progress must not send a consumer away from the offset that the group commits next
    table.set_progress({move.log.id: move.after for move in moves})
    try:
        reset(settings, topics, {move.log: move.after for move in moves})
    except JobStatusError as error:
        why = str(error).removesuffix("; nothing was changed")
        raise JobStatusError(
            f"{why}. The table's progress is moved already, the group's offsets are not: stop every consumer "
            "of the group and run the same command again"
        ) from None
