"""The ceiling: `Store.write` over batches that lie ready in memory, decoded and in log order; no Kafka beside it."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from jobstatus_consumer.config import Settings, load_settings
from jobstatus_consumer.core.decode import decoder_of
from jobstatus_consumer.kafka.topics import Topics
from jobstatus_consumer.records import Batch, Log, RawRecord
from jobstatus_consumer.store import Store
from jobstatus_consumer.stream.batch import BatchBuilder

from .marks import Marks


def main() -> None:
    settings, marks = load_settings(os.environ), Marks(int(sys.argv[1]))
    batches = _batches(settings)
    gc.collect()
    gc.freeze()  # a consumer does not hold a hundred thousand events, so the collector must not walk through them
    store = Store(settings.database, settings.table)
    store.connect()
    for batch in batches:
        store.write(batch)
        marks.batch(len(batch.events))
    store.close()
    marks.tell()


def _batches(settings: Settings) -> list[Batch]:
    builder = BatchBuilder(settings.batch_max_events, settings.batch_max_bytes, 60.0)
    filled: dict[int, int] = {}
    batches = []
    decode = decoder_of(settings).decode
    for raw in _records(settings):
        builder.add(decode(raw), filled.get(raw.partition, 0), 0.0)
        filled[raw.partition] = raw.offset + 1
        if builder.full(0.0):
            batches.append(builder.take())
    if not builder.empty:
        batches.append(builder.take())
    return batches


def _records(settings: Settings) -> list[RawRecord]:
    topics = Topics(settings)
    topic, topic_id = settings.topic, topics.topic_id(settings.topic)
    reader = Consumer(
        {"bootstrap.servers": settings.bootstrap_servers, "group.id": "none", "enable.auto.commit": False}
    )
    numbers = topics.partitions(topic)
    reader.assign([TopicPartition(topic, number, 0) for number in numbers])
    left = sum(reader.get_watermark_offsets(TopicPartition(topic, number))[1] for number in numbers)
    records: list[RawRecord] = []
    while len(records) < left:
        messages = reader.consume(1000, 1.0)
        records += [_record(message, topic_id) for message in messages if message.error() is None]
    reader.close()
    return records


def _record(message: Any, topic_id: str) -> RawRecord:
    topic, number = message.topic(), message.partition()
    log_id, at = Log(topic, topic_id, number).id, message.timestamp()[1]
    return RawRecord(topic, number, message.offset(), at, message.key(), message.value(), (), log_id)


if __name__ == "__main__":
    main()
