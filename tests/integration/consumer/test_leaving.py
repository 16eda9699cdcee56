"""A member that is told of partitions while it leaves."""

from __future__ import annotations

import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.kafka.source import Assigned, Source
from jobstatus_consumer.kafka.topics import Topics
from jobstatus_consumer.positions import Start
from jobstatus_local.kafka import LocalKafka
from support.waiting import until


class Handler:
    """Would start at the beginning; writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_assigned(self, partitions: list[Assigned]) -> list[Start]:
        self.told.append("assigned")
        return [Start(item.log, item.low) for item in partitions]

    def on_revoked(self, _partitions: set[int]) -> None:
        self.told.append("revoked")

    def on_lost(self, _partitions: set[int]) -> None:
        self.told.append("lost")

    def on_not_committed(self, _partitions: set[int]) -> None:
        self.told.append("not committed")


def test_an_assignment_that_comes_while_leaving_is_not_taken_up(
    kafka: LocalKafka, admin: AdminClient, topic: str, group_id: str
) -> None:
    settings = load_settings(
        {
            "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "JOBSTATUS_TOPIC": topic,
            "JOBSTATUS_GROUP_ID": group_id,
        }
    )
    handler = Handler()
    source = Source(settings, Topics(settings), handler)
    source.subscribe()

    def assigned_by_the_group() -> bool:
        try:
            members = admin.describe_consumer_groups([group_id])[group_id].result(20).members
        except KafkaException:
            return False  # the first group of a broker makes the topic of the offsets
        return any(len(member.assignment.topic_partitions) == 4 for member in members)

    # nobody polls, so the member has yet to be told: it is, inside close
    until(assigned_by_the_group, "the group assigns")
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 15
    assert "assigned" not in handler.told
