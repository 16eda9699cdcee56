"""The group as an observer sees it, without joining it: its state, its committed offsets, and how far behind it is."""

from __future__ import annotations

from typing import NamedTuple

from jobstatus_consumer.config import Settings
from jobstatus_consumer.kafka.offsets import commits
from jobstatus_consumer.kafka.topics import Topics


class PartitionLag(NamedTuple):
    """One partition: its watermarks and the group's committed offset (None for no commit), all as next offsets."""

    partition: int
    low: int
    high: int
    committed: int | None

    @property
    def lag(self) -> int:
        """How many offsets the group has still to read."""
        return self.high - (self.committed if self.committed is not None else self.low)


class GroupView(NamedTuple):
    """A group: its state as the broker calls it (`STABLE`, `EMPTY`, `DEAD`, ...), its members, its partitions."""

    state: str
    members: int
    partitions: list[PartitionLag]

    @property
    def lag(self) -> int:
        """How many offsets of all partitions the group has still to read."""
        return sum(item.lag for item in self.partitions)


def group_view(settings: Settings, topics: Topics) -> GroupView:
    """Return how the group stands now. Blocks; raises `BrokerError` if the broker does not answer."""
    found = commits(settings, topics)
    watermarks = topics.watermarks(settings.topic, sorted(found))
    lags = [PartitionLag(number, *watermarks[number], found[number].offset) for number in sorted(found)]
    return GroupView(*topics.group_state(settings.group_id), lags)


def end_offsets(settings: Settings, topics: Topics) -> dict[int, int]:
    """Return the end of each partition now: the offset after its last record. Blocks; raises `BrokerError`."""
    found = topics.watermarks(settings.topic, topics.partitions(settings.topic))
    return {number: watermarks.high for number, watermarks in found.items()}
