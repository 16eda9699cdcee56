from __future__ import annotations

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from jobstatus_local.mock import MockKafka


def test_a_message_goes_through_the_built_in_cluster() -> None:
    with MockKafka() as kafka:
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
        producer.produce("jobs", key=b"job-1", value=b"pending", partition=0)
        assert producer.flush(20) == 0
        consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "g"})
        consumer.assign([TopicPartition("jobs", 0, 0)])
        message = consumer.poll(20)
        assert message is not None
        assert message.value() == b"pending"
        consumer.close()
    assert kafka.bootstrap_servers == ""


def test_it_can_have_several_brokers() -> None:
    with MockKafka(brokers=3) as kafka:
        assert len(kafka.bootstrap_servers.split(",")) == 3


def test_it_needs_one_broker() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        MockKafka(brokers=0)
