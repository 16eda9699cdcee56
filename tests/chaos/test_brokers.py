"""What a dead broker does to questions that the loop cannot go on without."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.core.start_offsets import Watermarks
from jobstatus_consumer.errors import BrokerAwayError, BrokerError
from jobstatus_consumer.kafka import Topics, events_plan
from jobstatus_local.kafka import live_brokers
from support.waiting import until

from chaos.stage import Stage

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def _knows(topics: Topics, name: str) -> bool:
    try:
        topics.topic_id(name)
    except BrokerError:
        return False
    return True


def test_three_brokers_go_on_without_one(stage: Stage) -> None:
    """`LocalKafka` itself: copies on all three, a broker that is killed, and one that comes back."""
    kafka, servers = stage.kafka, stage.kafka.bootstrap_servers
    assert len(servers.split(",")) == 3
    # with as many copies as the cluster's default
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic("copied", 1)], operation_timeout=20)["copied"].result(timeout=30)
    kafka.node(2).kill()
    outcome: list[object] = []
    producer = Producer({"bootstrap.servers": servers, "acks": "all", "message.timeout.ms": 30_000, "log_level": 0})
    producer.produce("copied", b"without the second", on_delivery=lambda error, _: outcome.append(error))
    assert producer.flush(60) == 0
    assert outcome == [None]
    kafka.node(2).start()
    assert live_brokers(kafka.node(2).internal_address) >= {2}
    until(lambda: _in_step(servers, "copied") == {1, 2, 3}, "every copy is in step again", 90)


def _in_step(servers: str, topic: str) -> set[int]:
    try:
        metadata = AdminClient({"bootstrap.servers": servers}).list_topics(topic, timeout=5)
    except KafkaException:
        return set()
    return set(metadata.topics[topic].partitions[0].isrs)


def test_the_topic_is_described_although_the_broker_that_was_asked_for_it_is_dead(stage: Stage) -> None:
    settings = load_settings(
        {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": stage.kafka.bootstrap_servers, "JOBSTATUS_TOPIC": "described"}
    )
    opened: list[AdminClient] = []

    def make_client(properties: dict[str, Any]) -> AdminClient:
        opened.append(AdminClient(properties))
        return opened[-1]

    topics = Topics(settings, make_client=make_client)
    topics.create(events_plan(settings, 1, 3, 1.0))
    # which of the brokers is asked is the client's choice, and a new topic is not known to all of them at once
    until(lambda: _knows(topics, "described"), "the brokers have heard of the topic")
    before = topics.topic_id("described")
    (admin,) = opened
    # whom the client takes for the controller is dead, and it would go on waiting for it
    for _ in range(2):
        number = admin.list_topics(timeout=10).controller_id
        stage.kafka.node(number).kill()
        assert topics.topic_id("described") == before
        stage.kafka.node(number).start(90)
        stage.in_step()


def test_the_bounds_of_a_partition_whose_only_broker_is_dead_are_not_made_up(
    stage: Stage,
) -> None:
    # the client's library answers with an offset that is none, and without an error, where a leader is silent
    settings = load_settings(
        {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": stage.kafka.bootstrap_servers, "JOBSTATUS_TOPIC": "bounded"}
    )
    topics = Topics(settings, patience=1.0)
    topics.create(events_plan(settings, 6, 1, 1.0))
    empty = {number: Watermarks(0, 0) for number in range(6)}
    assert topics.watermarks("bounded", list(range(6))) == empty
    stage.kafka.node(2).kill()
    with pytest.raises(BrokerAwayError, match="asking for the watermarks of bounded"):
        topics.watermarks("bounded", list(range(6)))
    stage.kafka.node(2).start(90)
    stage.in_step()
    assert Topics(settings).watermarks("bounded", list(range(6))) == empty
