"""The group's own offsets: what was committed and of which log, and moving it while nobody is in the group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaException, TopicPartition

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core.dead_letter_budget import BudgetState
from jobstatus_consumer.errors import StartError
from jobstatus_consumer.kafka.client import ANSWER_SECONDS, ask
from jobstatus_consumer.kafka.group import group_state, observing
from jobstatus_consumer.kafka.group_consumer import Committed, commit_metadata, committed_of
from jobstatus_consumer.kafka.topics import Topics
from jobstatus_consumer.records import Log

FREE: Final = ("EMPTY", "DEAD")
"""A group's states in which no member would go on from what it remembers."""


def commits(settings: Settings, topics: Topics) -> dict[int, Committed]:
    """What the group has committed of each partition, with what the commit says of its log."""
    wanted = [TopicPartition(settings.topic, number) for number in topics.partitions(settings.topic)]
    with observing(settings) as observer:
        found = ask("asking what is committed", lambda: observer.committed(wanted, timeout=ANSWER_SECONDS))
    return {item.partition: committed_of(item) for item in found}


def state(settings: Settings, topics: Topics) -> tuple[str, int]:
    """The group's state in the broker's word, and how many members it has."""
    return group_state(topics, settings.group_id)


def refuse_active(settings: Settings, topics: Topics) -> None:
    """Raise `StartError` while somebody is in the group: members go on from what they remember."""
    word, members = state(settings, topics)
    if word not in FREE or members:
        raise StartError(
            f"the group {settings.group_id} is {word.lower()} with {members} members, which would go on from where "
            "they are and commit over it. Stop every consumer of the group first; nothing was changed"
        )


def reset(settings: Settings, topics: Topics, offsets: Mapping[Log, int]) -> None:
    """Commit these offsets for the group, each with its log; refused while the group is active."""
    refuse_active(settings, topics)
    wanted = [
        TopicPartition(log.topic, log.partition, offset, metadata=commit_metadata(log, BudgetState()))
        for log, offset in offsets.items()
    ]
    with observing(settings) as observer:

        def commit() -> None:
            done = observer.commit(offsets=wanted, asynchronous=False)
            failed = [item.error for item in done or () if item.error is not None]
            if failed:
                raise KafkaException(failed[0])

        ask(f"committing for the group {settings.group_id}", commit)
