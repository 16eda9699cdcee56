"""A member that is assigned partitions while it leaves, and one whose client never ends."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from jobstatus_consumer.config import Settings, load_settings
from jobstatus_consumer.core.start_offsets import StartOffset
from jobstatus_consumer.kafka.group_consumer import AssignedPartition, GroupConsumer
from jobstatus_consumer.kafka.topics import Topics
from jobstatus_local.kafka import LocalKafka
from support.waiting import until


class Listener:
    """Would start each partition at its beginning, and records which callbacks it gets."""

    def __init__(self) -> None:
        self.callbacks: list[str] = []

    def on_assigned(self, partitions: list[AssignedPartition]) -> list[StartOffset]:
        self.callbacks.append("assigned")
        return [StartOffset(item.log, item.low) for item in partitions]

    def on_revoked(self, _partitions: set[int]) -> None:
        self.callbacks.append("revoked")

    def on_lost(self, _partitions: set[int]) -> None:
        self.callbacks.append("lost")

    def on_not_committed(self, _partitions: set[int]) -> None:
        self.callbacks.append("not committed")


@pytest.fixture
def settings(kafka: LocalKafka, topic: str, group_id: str) -> Settings:
    return load_settings(
        {
            "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "JOBSTATUS_TOPIC": topic,
            "JOBSTATUS_GROUP_ID": group_id,
        }
    )


def test_an_assignment_that_comes_while_leaving_is_not_taken_up(
    settings: Settings, admin: AdminClient, group_id: str
) -> None:
    listener = Listener()
    consumer = GroupConsumer(settings, Topics(settings))
    consumer.subscribe(listener)

    def assigned_by_the_group() -> bool:
        try:
            members = admin.describe_consumer_groups([group_id])[group_id].result(20).members
        except KafkaException:
            return False  # the first group of a broker makes the topic of the offsets
        return any(len(member.assignment.topic_partitions) == 4 for member in members)

    # nothing polls, so the member gets its assignment inside close
    until(assigned_by_the_group, "the group assigns")
    began = time.monotonic()
    consumer.close()
    assert time.monotonic() - began < 15
    assert "assigned" not in listener.callbacks


class Stuck:
    """A client whose `close` does not return, or raises: the real one does so in rare moments only."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.free = threading.Event()
        self._error = error

    def close(self) -> None:
        if self._error is not None:
            raise self._error
        self.free.wait(60)


def member_with(client: Any, settings: Settings) -> GroupConsumer:
    return GroupConsumer(settings, Topics(settings), make_client=lambda _properties: client, leave_seconds=0.2)


def test_a_client_that_never_ends_is_given_up(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    stuck = Stuck()
    with caplog.at_level(logging.WARNING):
        member_with(stuck, settings).close()
    stuck.free.set()
    assert "the group was not left within 0.2 s; stopping all the same" in caplog.text


BLOCKED = """
import ctypes
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.kafka.group_consumer import GroupConsumer
from jobstatus_consumer.kafka.topics import Topics

class Blocked:
    def close(self):
        ctypes.PyDLL(None).sleep(600)  # Python's lock is kept

settings = load_settings({"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
GroupConsumer(settings, Topics(settings), make_client=lambda _: Blocked(), leave_seconds=0.2).close()
"""


def test_a_client_that_blocks_all_of_python_ends_the_process() -> None:
    """So does librdkafka in a callback: an assignment that comes while it leaves."""
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    assert "_leave_group" in done.stderr, "the trace says where"


def test_what_a_revocation_raises_while_leaving_is_raised_where_it_is_waited_for(settings: Settings) -> None:
    consumer = member_with(Stuck(RuntimeError("of the listener")), settings)
    with pytest.raises(RuntimeError, match="of the listener"):
        consumer.close()
