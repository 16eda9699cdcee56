"""The owner of a group's committed offsets: reading them, committing them, and moving those of a group at rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import BudgetState
from jobstatus_consumer.errors import StartError
from jobstatus_consumer.kafka.client import ANSWER_SECONDS, QuietErrors, ask, consumer_properties, make
from jobstatus_consumer.kafka.commits import CommittedOffset, commit_metadata, read_commit, without_budget
from jobstatus_consumer.kafka.rights import Right, needing
from jobstatus_consumer.kafka.topics import Topics, denied
from jobstatus_consumer.records import Log
from jobstatus_consumer.words import counted

AT_REST: Final = ("EMPTY", "DEAD")
"""The states of a group without a member that would go on from the offsets it remembers."""


def committed(
    consumer: Consumer, topic: str, partitions: Iterable[int], errors: QuietErrors | None = None
) -> dict[int, CommittedOffset]:
    """Return what the consumer's group has committed of each partition. Blocks; raises `BrokerError` as `ask` does."""
    found = ask_committed("asking what is committed", consumer, topic, partitions, errors)
    return {item.partition: read_commit(item) for item in found}


def ask_committed(
    doing: str, consumer: Consumer, topic: str, partitions: Iterable[int], errors: QuietErrors | None = None
) -> list[TopicPartition]:
    """As `committed`, with the broker's answers as they are: their metadata may be in another form than a member's."""
    wanted = [TopicPartition(topic, number) for number in partitions]

    def question() -> list[TopicPartition]:
        return _without_errors(consumer.committed(wanted, timeout=ANSWER_SECONDS))

    return ask(doing, question, errors) if wanted else []


def commit(
    doing: str, consumer: Consumer, offsets: Sequence[TopicPartition], errors: QuietErrors | None = None
) -> None:
    """Commit these offsets and block until the broker has acknowledged each; raises `BrokerError` as `ask` does."""

    def question() -> None:
        # the group was asked about before; a commit also needs the right to read the topic
        with needing(Right.on_topic(offsets[0].topic, "READ"), doing):
            _without_errors(consumer.commit(offsets=list(offsets), asynchronous=False) or ())

    if offsets:
        ask(doing, question, errors)


def commits(settings: Settings, topics: Topics) -> dict[int, CommittedOffset]:
    """Return what the group has committed of each partition, without joining it. Blocks; raises `BrokerError`."""
    refuse_without_right(topics, settings.group_id, "DESCRIBE")
    return commits_of_described(settings, topics)


def commits_of_described(settings: Settings, topics: Topics) -> dict[int, CommittedOffset]:
    """As `commits`, for a caller that has just described the group: the same right was needed for that."""
    numbers = topics.partitions(settings.topic)
    with _observer(settings) as observer:
        return committed(observer, settings.topic, numbers)


def refuse_without_right(topics: Topics, group: str, operation: str) -> None:
    """Raise `StartError` if the broker does not let this client do this with the group, such as `READ`. Blocks.

    The client would only report a time-out, after half a minute.
    """
    missing, refusal = denied(lambda: topics.operations_on_group(group), [operation])
    if missing:
        why = f" ({refusal})" if refusal else ""
        right = Right.on_group(group, operation)
        raise StartError(f"this client has no right {right}{why}; nothing was changed. Give it: {right.remedy}")


def refuse_active(settings: Settings, topics: Topics) -> None:
    """Raise `StartError` if the group has members: they would commit over a change, from the offsets they remember."""
    found = topics.group_facts(settings.group_id)
    if found.state not in AT_REST or found.members:
        members = counted(len(found.members), "member")
        raise StartError(
            f"the group {settings.group_id} is {found.state.lower()} with {members}. A member goes on "
            "from where it is and commits over it. Stop every consumer of the group first; nothing was changed"
        )


def reset(settings: Settings, topics: Topics, offsets: Mapping[Log, int]) -> None:
    """Commit these offsets for the group, each with its log. Blocks; raises `StartError` if the group has members."""
    refuse_active(settings, topics)
    wanted = [
        TopicPartition(log.topic, log.partition, offset, metadata=commit_metadata(log, BudgetState()))
        for log, offset in offsets.items()
    ]
    with _observer(settings) as observer:
        commit(f"committing for the group {settings.group_id}", observer, wanted)


def clear_budget(settings: Settings, topics: Topics) -> list[int]:
    """Have the group count dead letters from zero: its commits stay as they are, without the counts beside them.

    Returns the partitions whose commit had a count. Blocks; raises `BrokerError`, and `StartError` if the group has
    members, which have the counts in memory.
    """
    refuse_active(settings, topics)
    numbers = topics.partitions(settings.topic)
    with _observer(settings) as observer:
        found = ask_committed("asking what is committed", observer, settings.topic, numbers)
        wanted = [
            TopicPartition(item.topic, item.partition, item.offset, text, *_epoch(item))
            for item in found
            if item.offset >= 0 and (text := without_budget(item.metadata)) is not None
        ]
        commit(f"clearing the count of dead letters of the group {settings.group_id}", observer, wanted)
    return sorted(item.partition for item in wanted)


def _epoch(item: TopicPartition) -> tuple[int, ...]:
    """The leader epoch as an argument; none if the commit has none, since the library refuses None."""
    return () if item.leader_epoch is None else (item.leader_epoch,)


def _without_errors(items: Sequence[TopicPartition]) -> list[TopicPartition]:
    for item in items:
        if item.error is not None:
            raise KafkaException(item.error)
    return list(items)


@contextmanager
def _observer(settings: Settings) -> Iterator[Consumer]:
    """Give a consumer of the group that never subscribes, and so is no member of it."""
    observer: Any = make(Consumer, {**consumer_properties(settings, {}), "group.id": settings.group_id})
    try:
        yield observer
    finally:
        observer.close()
