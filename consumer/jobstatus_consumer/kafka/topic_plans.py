"""The topics that `jobstatus topics create` makes: their partitions, copies and properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from jobstatus_consumer.config import Settings

DAY_MS: Final = 86_400_000
DEFAULT_MAX_MESSAGE_BYTES: Final = 1_048_588
"""Kafka's own default of `max.message.bytes`."""


class TopicPlan(NamedTuple):
    """A topic to create."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


def events_plan(settings: Settings, partitions: int, replication: int, retention_days: float) -> TopicPlan:
    """Return the plan of the events' topic: with LogAppendTime, so that a clock in the future blocks nothing."""
    config = {
        "cleanup.policy": "delete",
        "retention.ms": str(int(retention_days * DAY_MS)),
        "message.timestamp.type": "LogAppendTime",
    }
    return TopicPlan(settings.topic, partitions, replication, config)


def dead_letters_plan(settings: Settings, partitions: int, replication: int, retention_days: float) -> TopicPlan:
    """Return the plan of the dead letters' topic: it keeps an event's timestamp, and has room for our headers."""
    config = {
        "cleanup.policy": "delete",
        "retention.ms": str(int(retention_days * DAY_MS)),
        "message.timestamp.type": "CreateTime",
        "max.message.bytes": str(2 * DEFAULT_MAX_MESSAGE_BYTES),
    }
    return TopicPlan(settings.dead_letter_topic, partitions, replication, config)
