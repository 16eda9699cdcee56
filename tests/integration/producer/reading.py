"""What is in a topic, recounted from the broker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast
from uuid import uuid4

from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from jobstatus_consumer.core.decode import Decoder
from jobstatus_consumer.core.rule import RowState, advance, decide
from jobstatus_consumer.records import Event, RawRecord
from jobstatus_local.kafka import LocalKafka
from jobstatus_schemas import JobStatusEvent, decode
from support.topics import end_offset


class Record(NamedTuple):
    """One record, decoded."""

    partition: int
    offset: int
    key: bytes
    event: JobStatusEvent
    headers: dict[str, bytes]
    raw: RawRecord


def read_all(servers: str, topic: str) -> list[Record]:
    """Every record of `topic`, each partition's in its order."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": f"reader-{uuid4()}", "log_level": 0})
    try:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        ends = {p: end_offset(consumer, topic, p) for p in partitions}
        consumer.assign([TopicPartition(topic, p, 0) for p, end in ends.items() if end])
        found: list[Record] = []
        while len(found) < sum(ends.values()):
            message = consumer.poll(20)
            assert message is not None, f"{len(found)} of {sum(ends.values())} records came"
            assert message.error() is None
            found.append(_record(message))
        return sorted(found)
    finally:
        consumer.close()


def _record(message: Message) -> Record:
    partition, offset, key = message.partition(), message.offset(), message.key()
    assert partition is not None
    assert offset is not None
    assert isinstance(key, bytes)
    value, headers = message.value(), cast("list[tuple[str, bytes]]", message.headers() or [])
    raw = RawRecord("t", partition, offset, message.timestamp()[1], key, value, headers, f"t/id/{partition}")
    return Record(partition, offset, key, decode(value), dict(headers), raw)


def statuses_by_job(records: Iterable[Record]) -> dict[str, list[str]]:
    """In effect: each event once, at its first place."""
    seen: set[str] = set()
    found: dict[str, list[str]] = defaultdict(list)
    for record in records:
        if record.event.event_id not in seen:
            seen.add(record.event.event_id)
            found[record.event.job_id].append(record.event.status)
    return dict(found)


def arrived(kafka: LocalKafka, topic: str) -> dict[str, list[str]]:
    """The statuses of each job that are in the topic now."""
    return statuses_by_job(read_all(kafka.bootstrap_servers, topic))


def shown_by_a_row(records: Iterable[Record]) -> list[JobStatusEvent]:
    """The events of one job that its row shows, one after the other, by the consumer's rule."""
    state: RowState | None = None
    shown = []
    for record in records:
        event = Decoder().decode(record.raw)
        assert isinstance(event, Event)
        if decide(state, event) == "applied":
            shown.append(record.event)
        state = advance(state, event)
    return shown


def events_of(records: Sequence[Record]) -> list[JobStatusEvent]:
    return [record.event for record in records]


def make_topic_at(servers: str, partitions: int = 2, **config: str) -> str:
    """A fresh topic on a broker of the test's own."""
    name = f"test-{uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    properties = {key.replace("_", "."): value for key, value in config.items()}
    admin.create_topics([NewTopic(name, partitions, config=properties)])[name].result(30)
    return name
