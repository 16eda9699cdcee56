"""What a power failure does to a log: it loses its tail. And events in batches of their own, so that it can."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from confluent_kafka import Producer
from jobstatus_local.kafka import KafkaNode, LocalKafka
from jobstatus_schemas import JobStatusEvent, encode

HEAD = struct.Struct(">qi")
"""A batch begins with its first offset and the number of bytes after these twelve."""


def produce_apart(bootstrap: str, topic: str, partition: int, events: Iterable[JobStatusEvent]) -> None:
    """Put each event into a batch of its own, all acknowledged: a log is cut between two batches."""
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for event in events:
        producer.produce(topic, encode(event), event.job_id, partition)
        assert producer.flush(60) == 0


def lose_tails(kafka: LocalKafka, topic: str, first_lost: Mapping[int, int]) -> None:
    """Kill the only broker, cut these partitions' logs at these offsets, and start it again."""
    (node,) = kafka.nodes
    node.kill()
    for partition, offset in first_lost.items():
        cut_tail(node, topic, partition, offset)
    node.start()


def cut_tail(node: KafkaNode, topic: str, partition: int, offset: int) -> None:
    """Cut the log of a partition at `offset` on the disk of a broker that is down."""
    (segment,) = node.data_dir.rglob(f"{topic}-{partition}/*.log")
    data, at = segment.read_bytes(), 0
    while (head := HEAD.unpack_from(data, at))[0] != offset:
        at += HEAD.size + head[1]
    with segment.open("r+b") as file:
        file.truncate(at)
    for other in (*segment.parent.glob("*index"), *segment.parent.glob("*.snapshot")):
        other.unlink()
