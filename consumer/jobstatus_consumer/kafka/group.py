"""The group seen from outside: its state, what it has committed, how far the log goes. Joins nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from jobstatus_consumer.config import Settings
from jobstatus_consumer.kafka.client import ANSWER_SECONDS, ask, consumer_properties, make
from jobstatus_consumer.kafka.topics import Topics


class PartitionLag(NamedTuple):
    """One partition: the log's bounds and what the group has committed (None for nothing), as next offsets."""

    partition: int
    low: int
    high: int
    committed: int | None

    @property
    def lag(self) -> int:
        """How many offsets the group has still to do."""
        return self.high - (self.committed if self.committed is not None else self.low)


class GroupView(NamedTuple):
    """A group's state in the broker's word (`STABLE`, `EMPTY`, `DEAD`, ...), its members, its partitions."""

    state: str
    members: int
    partitions: list[PartitionLag]

    @property
    def lag(self) -> int:
        """How many offsets of all partitions the group has still to do."""
        return sum(item.lag for item in self.partitions)


def group_view(settings: Settings, topics: Topics) -> GroupView:
    """How the group stands; raises `BrokerError` where the broker does not say."""
    numbers = topics.partitions(settings.topic)
    with observing(settings) as observer:
        committed = committed_offsets(observer, settings.topic, numbers)
    bounds = topics.bounds(settings.topic, numbers)
    lags = [PartitionLag(number, *bounds[number], committed.get(number)) for number in numbers]
    state, members = group_state(topics, settings.group_id)
    return GroupView(state, members, lags)


def end_offsets(settings: Settings, topics: Topics) -> dict[int, int]:
    """The offset after the last one of each partition, now."""
    found = topics.bounds(settings.topic, topics.partitions(settings.topic))
    return {number: bounds.high for number, bounds in found.items()}


def committed_offsets(observer: Consumer, topic: str, numbers: list[int]) -> Mapping[int, int]:
    """What the observer's group has committed of these partitions, where it has committed anything."""
    if not numbers:
        return {}
    wanted = [TopicPartition(topic, number) for number in numbers]
    found = ask("asking what is committed", lambda: observer.committed(wanted, timeout=ANSWER_SECONDS))
    return {item.partition: item.offset for item in found if item.offset >= 0}


@contextmanager
def observing(settings: Settings) -> Iterator[Consumer]:
    """A consumer that never subscribes, and so is no member."""
    observer: Any = make(Consumer, {**consumer_properties(settings, {}), "group.id": settings.group_id})
    try:
        yield observer
    finally:
        observer.close()


def group_state(topics: Topics, group: str) -> tuple[str, int]:
    def question() -> tuple[str, int]:
        found = topics.client().describe_consumer_groups([group], request_timeout=ANSWER_SECONDS)[group]
        described = found.result(ANSWER_SECONDS + 1)
        return described.state.name, len(described.members)

    return ask(f"describing the group {group}", question)
