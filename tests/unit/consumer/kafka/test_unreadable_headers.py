"""Header names that are not UTF-8, by the library's own messages. Its own server in the process sends them."""

from __future__ import annotations

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from jobstatus_consumer.kafka.messages import raw_record
from support.foreign import UNREADABLE, ForeignClient
from support.waiting import until

MANY = 60
"""The interpreter optimizes a call after a few dozen of them, and then no longer checks how it ended."""


def test_only_the_header_is_missing_however_many_records_there_are() -> None:
    server = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    bootstrap = ",".join(f"{item.host}:{item.port}" for item in server.list_topics(timeout=10).brokers.values())
    client = ForeignClient(bootstrap)
    for number in range(MANY):
        bad = [(UNREADABLE, b"2")] if number % 3 == 2 else []
        client.send("t", b"job-1", b"value", [(b"first", b"1"), *bad, (b"last", b"3")])
    assert client.close()
    counts: list[int] = []
    records = [
        raw_record(message, "t", 0, 0, "log", lambda *position: counts.append(position[-1]))
        for message in read(bootstrap)
    ]
    assert [record.headers for record in records] == [[("first", b"1"), ("last", b"3")]] * MANY
    assert {(record.key, record.value) for record in records} == {(b"job-1", b"value")}
    assert counts == [1] * (MANY // 3)


def read(bootstrap: str) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "g", "log_level": 0})
    consumer.assign([TopicPartition("t", number, 0) for number in range(4)])
    found: list[Message] = []

    def enough() -> bool:
        found.extend(consumer.consume(MANY, 0.2))
        return len(found) >= MANY

    until(enough, "all records")
    consumer.close()
    return found
