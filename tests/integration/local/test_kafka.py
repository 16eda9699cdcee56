from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from jobstatus_local import jars
from jobstatus_local.errors import LocalServerError
from jobstatus_local.kafka import LocalKafka, live_brokers
from jobstatus_local.proxy import TcpProxy
from support.processes import is_running

pytestmark = pytest.mark.kafka


def create_topic(servers: str, name: str, partitions: int = 1) -> str:
    """With as many copies as the cluster's default."""
    admin = AdminClient({"bootstrap.servers": servers})
    topic = NewTopic(name, num_partitions=partitions)
    admin.create_topics([topic], operation_timeout=20)[name].result(timeout=30)
    return name


def send(servers: str, topic: str, value: bytes, timeout: float = 30.0) -> KafkaError | None:
    """Produce one message; None once it is acknowledged by all, else why not."""
    outcome: list[KafkaError | None] = []
    config = {"bootstrap.servers": servers, "acks": "all", "message.timeout.ms": int(timeout * 1000), "log_level": 0}
    producer = Producer(config)
    producer.produce(topic, value, on_delivery=lambda error, _: outcome.append(error))
    assert producer.flush(timeout + 30) == 0
    return outcome[0]


def values(servers: str, topic: str, count: int) -> list[bytes | None]:
    """The first messages of partition 0."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "reader"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        return [message.value() for message in consumer.consume(count, timeout=30)]
    finally:
        consumer.close()


def test_what_was_acknowledged_survives_sigkill(breakable: tuple[LocalKafka, TcpProxy]) -> None:
    kafka, _ = breakable
    topic = create_topic(kafka.bootstrap_servers, "survives")
    assert send(kafka.bootstrap_servers, topic, b"before") is None
    pid = kafka.node(1).pid
    assert pid is not None
    kafka.node(1).kill()
    assert not is_running(pid)
    assert kafka.node(1).pid is None
    kafka.node(1).start()
    kafka.node(1).start()
    assert kafka.node(1).pid != pid
    assert values(kafka.bootstrap_servers, topic, 1) == [b"before"]


def test_a_clean_stop_keeps_the_address_and_the_data(breakable: tuple[LocalKafka, TcpProxy]) -> None:
    kafka, _ = breakable
    servers = kafka.bootstrap_servers
    topic = create_topic(servers, "stopped")
    assert send(servers, topic, b"before") is None
    kafka.stop()
    kafka.stop()
    assert [node.pid for node in kafka.nodes] == [None]
    kafka.start()
    assert kafka.bootstrap_servers == servers
    assert values(servers, topic, 1) == [b"before"]


def test_clients_are_led_through_what_is_advertised(breakable: tuple[LocalKafka, TcpProxy]) -> None:
    kafka, proxy = breakable
    topic = create_topic(kafka.bootstrap_servers, "advertised")
    assert kafka.bootstrap_servers == f"127.0.0.1:{proxy.port}"
    proxy.refuse()
    proxy.cut()
    error = send(kafka.bootstrap_servers, topic, b"lost", timeout=0.5)
    assert error is not None
    assert error.code() == KafkaError._MSG_TIMED_OUT
    assert live_brokers(kafka.internal_bootstrap_servers) == {1}
    proxy.heal()
    assert send(kafka.bootstrap_servers, topic, b"arrived") is None
    assert values(kafka.bootstrap_servers, topic, 1) == [b"arrived"]


def test_the_callers_properties_hold(breakable: tuple[LocalKafka, TcpProxy]) -> None:
    kafka, _ = breakable
    topic = create_topic(kafka.bootstrap_servers, "small-messages")
    error = send(kafka.bootstrap_servers, topic, b"x" * 3000)
    assert error is not None
    assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE


def test_a_topic_comes_only_by_being_created(kafka: LocalKafka) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})  # one that would have it created
    for _ in range(2):
        error = producer.list_topics("never-created", timeout=20).topics["never-created"].error
        assert error is not None
        assert error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_a_broker_that_is_not_there_is_a_mistake(breakable: tuple[LocalKafka, TcpProxy]) -> None:
    kafka, _ = breakable
    with pytest.raises(ValueError, match=r"no broker 0: the ids are \[1\]"):
        kafka.node(0)


def test_java_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalServerError, match=r"cannot be run: /no/java: FileNotFoundError"):
        LocalKafka(workdir=tmp_path, java=Path("/no/java")).start()


def test_a_storage_that_cannot_be_formatted_says_why_and_leaves_only_its_log() -> None:
    with pytest.raises(LocalServerError) as caught:
        LocalKafka(properties={"process.roles": "juggler"}).start()
    assert "formatting kafka-1 failed with exit code 1" in str(caught.value)
    assert "juggler" in str(caught.value)
    log = caught.value.log
    assert log is not None
    assert str(log) in str(caught.value)
    assert [entry.name for entry in log.parent.iterdir()] == ["kafka-1.log"]
    shutil.rmtree(log.parent)


def test_altered_jars_are_refused_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jars").mkdir()
    for jar in map(Path, jars.kafka_classpath().split(os.pathsep)):
        copy = tmp_path / "jars" / jar.name
        if jar.name.startswith("kafka-server-4"):
            copy.write_bytes(jar.read_bytes() + b"!")
        else:
            copy.symlink_to(jar)
    monkeypatch.setenv(jars.CACHE_VARIABLE, str(tmp_path))
    with pytest.raises(LocalServerError, match=r"kafka-server-4.*is not the org\.apache\.kafka:kafka-server"):
        LocalKafka(workdir=tmp_path / "work").start()
    assert not (tmp_path / "work").exists()
