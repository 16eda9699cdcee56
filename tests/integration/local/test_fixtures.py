"""The fixtures that the other integration tests use."""

from __future__ import annotations

import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from jobstatus_local.kafka import LocalKafka


@pytest.mark.kafka
def test_a_message_goes_through_a_fresh_topic(kafka: LocalKafka, topic: str, group_id: str) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce(topic, key=b"job-1", value=b"pending")
    assert producer.flush(20) == 0
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": group_id,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    try:
        consumer.subscribe([topic])
        message = consumer.poll(20)
        assert message is not None
        assert (message.key(), message.value()) == (b"job-1", b"pending")
    finally:
        consumer.close()


@pytest.mark.postgres
@pytest.mark.parametrize("run", [1, 2])
def test_each_test_has_an_empty_database(database_url: str, run: int) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE one (run int)")
        connection.execute("INSERT INTO one VALUES (%s)", [run])
        assert connection.execute("SELECT run FROM one").fetchall() == [(run,)]
