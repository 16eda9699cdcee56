"""A producer that writes Confluent's framing: the id is found while it works, and nothing is lost before that."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from integration.producer import scripts
from jobstatus_producer import BufferFullError, JobStatusProducer, ProducerSettings
from jobstatus_producer.delivery import schema_ids
from jobstatus_schemas import plain_schema_text, schema_text
from jobstatus_schemas.framing.confluent import header_of
from support.apicurio import Registry
from support.deployment import Deployment
from support.inside import run_inside
from support.registry_gate import Gate, Mood
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


@pytest.fixture(autouse=True)
def nothing_is_known_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids are kept until the process ends, and the registry of these tests has other ids after each start."""
    monkeypatch.setattr(schema_ids, "_KNOWN", {})


@contextmanager
def producer(deployed: Deployment, gate: Gate, **variables: str) -> Iterator[JobStatusProducer]:
    environ = {
        "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": deployed.bootstrap,
        "JOBSTATUS_TOPIC": deployed.topic,
        "JOBSTATUS_FORMAT": "confluent",
        "JOBSTATUS_SCHEMA_REGISTRY_URL": gate.url,
        **variables,
    }
    with JobStatusProducer(ProducerSettings.from_env(environ)) as found:
        yield found


def read_by_confluent(deployed: Deployment, registry: Registry) -> dict[str, Any]:
    """What confluent-kafka's own deserializer reads, by job."""
    client = SchemaRegistryClient({"url": registry.url, "timeout": 30})
    deserializer = AvroDeserializer(client)
    context = SerializationContext(deployed.topic, MessageField.VALUE)
    found = {}
    for record in deployed.records():
        event: Any = deserializer(record.value, context)
        found[event["job_id"]] = event
    client.close()
    return found


@pytest.mark.parametrize(
    ("strategy", "subject"),
    [
        ("topic", "{topic}-value"),
        ("record", "jobstatus.JobStatusEvent"),
        ("topic_record", "{topic}-jobstatus.JobStatusEvent"),
    ],
)
def test_each_strategy_finds_its_subject_and_confluents_deserializer_reads_the_events(
    deployed: Deployment, registry: Registry, gate: Gate, strategy: str, subject: str
) -> None:
    schema_id = registry.register(subject.format(topic=deployed.topic), schema_text())
    with producer(deployed, gate, JOBSTATUS_SCHEMA_SUBJECT_STRATEGY=strategy) as jobs:
        for number in range(30):
            jobs.update_job_status(
                f"job-{number}", "success", attempt=number, worker_id="w", error_message="ü" * number
            )
        jobs.flush()
    records = deployed.records()
    assert {(record.value or b"")[:5] for record in records} == {header_of(schema_id)}
    assert not any(record.headers for record in records), "none of them is late"
    found = read_by_confluent(deployed, registry)
    assert len(found) == 30
    assert (found["job-7"]["attempt"], found["job-7"]["error_message"]) == (7, "ü" * 7)
    assert len(gate.asked) == 1, "the id is asked for once"
    assert deployed.drain(JOBSTATUS_SCHEMA_REGISTRY_URL=gate.url)["dead_letters"] == 0
    assert len(deployed.rows()) == 30


def test_a_schema_without_logical_types_counts_and_nothing_is_registered_unasked(
    deployed: Deployment, registry: Registry, gate: Gate
) -> None:
    with producer(deployed, gate) as jobs:
        jobs.update_job_status("job-1", "success")
        until(lambda: "does not have the event's schema" in (jobs.stats().last_error or ""), "it says what is missing")
        assert "register it with: jobstatus schema register" in str(jobs.stats().last_error)
        assert f"{deployed.topic}-value" not in registry.ask("GET", "/subjects")
        schema_id = registry.register(f"{deployed.topic}-value", plain_schema_text())
        jobs.flush()
    (record,) = deployed.records()
    assert (record.value or b"")[:5] == header_of(schema_id)


def test_it_registers_the_schema_if_it_is_asked_to(deployed: Deployment, registry: Registry, gate: Gate) -> None:
    with producer(deployed, gate, JOBSTATUS_SCHEMA_AUTO_REGISTER="true") as jobs:
        jobs.update_job_status("job-1", "success")
    latest = registry.ask("GET", f"/subjects/{deployed.topic}-value/versions/latest")
    assert json.loads(latest["schema"]) == json.loads(schema_text())
    (record,) = deployed.records()
    assert (record.value or b"")[:5] == header_of(latest["id"])


@pytest.mark.parametrize("mood", [Mood.SILENT, Mood.HTML, Mood.LOGIN_REFUSED, Mood.BROKEN])
def test_calls_neither_block_nor_raise_while_the_registry_is_in_trouble(
    deployed: Deployment, registry: Registry, gate: Gate, mood: Mood
) -> None:
    registry.register(f"{deployed.topic}-value", schema_text())
    gate.mood = mood
    with producer(deployed, gate) as jobs:
        took = []
        for number in range(200):
            started = time.monotonic()
            jobs.update_job_status("job-1", f"step-{number}")
            took.append(time.monotonic() - started)
        assert sorted(took)[-20] < 0.1
        until(lambda: "schema registry" in (jobs.stats().last_error or ""), "it says why nothing is delivered")
        assert jobs.stats().delivered == 0
        gate.mood = Mood.OPEN
        jobs.flush()
        assert jobs.stats().delivered == 200
    assert deployed.drain(JOBSTATUS_SCHEMA_REGISTRY_URL=gate.url)["dead_letters"] == 0
    assert deployed.rows()["job-1"].status == "step-199"


def test_what_waits_for_the_id_is_in_the_spool_and_the_next_process_sends_it(
    deployed: Deployment, registry: Registry, gate: Gate, tmp_path: Path
) -> None:
    spool = str(tmp_path / "spool")
    gate.mood = Mood.BROKEN
    with producer(deployed, gate, JOBSTATUS_SPOOL_DIR=spool, JOBSTATUS_CLOSE_SECONDS="1") as jobs:
        for number in range(20):
            jobs.update_job_status("job-1", f"step-{number}")
    assert deployed.records() == []
    registry.register(f"{deployed.topic}-value", schema_text())
    gate.mood = Mood.OPEN
    with producer(deployed, gate, JOBSTATUS_SPOOL_DIR=spool) as jobs:
        jobs.flush()
    assert len(deployed.records()) == 20
    assert deployed.drain(JOBSTATUS_SCHEMA_REGISTRY_URL=gate.url)["dead_letters"] == 0
    assert deployed.rows()["job-1"].status == "step-19"


def test_without_a_spool_and_without_room_a_call_is_refused_as_without_a_broker(
    deployed: Deployment, registry: Registry, gate: Gate
) -> None:
    registry.register(f"{deployed.topic}-value", schema_text())
    gate.mood = Mood.BROKEN
    bounds = {"JOBSTATUS_MAX_PENDING_EVENTS": "10", "JOBSTATUS_MAX_BLOCK_SECONDS": "0.2"}
    with producer(deployed, gate, **bounds) as jobs:
        for number in range(10):
            jobs.update_job_status("job-1", f"step-{number}")
        with pytest.raises(BufferFullError):
            jobs.update_job_status("job-1", "one too many")
        gate.mood = Mood.OPEN
        jobs.flush()
    assert len(deployed.records()) == 10


def test_a_forked_child_finds_the_id_on_its_own(deployed: Deployment, registry: Registry, gate: Gate) -> None:
    registry.register(f"{deployed.topic}-value", schema_text())
    environ = {
        "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": deployed.bootstrap,
        "JOBSTATUS_TOPIC": deployed.topic,
        "JOBSTATUS_FORMAT": "confluent",
        "JOBSTATUS_SCHEMA_REGISTRY_URL": gate.url,
    }
    # one child is forked while the parent's thread waits for an answer, and another one when the id is known
    gate.mood = Mood.SILENT
    process = scripts.start(
        """
        jobs = JobStatusProducer.from_env()
        jobs.update_job_status("parent", "0")
        sys.stdin.readline()
        for number in range(2):
            child = os.fork()
            if not child:
                jobs.update_job_status(f"child-{number}", "success")
                sys.exit(jobs.flush(60))
            print("forked", flush=True)
            assert jobs.flush(60) == 0
            assert os.waitpid(child, 0)[1] == 0
        """,
        environ,
    )
    until(lambda: gate.asked, "the parent's thread has asked")
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    assert scripts.read_line(process) == "forked"
    gate.mood = Mood.OPEN
    code, _, err = scripts.end(process, 120)
    assert code == 0, err
    assert {record.key for record in deployed.records()} == {b"child-0", b"child-1", b"parent"}
    assert deployed.drain(JOBSTATUS_SCHEMA_REGISTRY_URL=gate.url)["dead_letters"] == 0


def test_the_commands_write_the_same_framing(deployed: Deployment, registry: Registry, gate: Gate) -> None:
    schema_id = registry.register(f"{deployed.topic}-value", schema_text())
    variables = {"JOBSTATUS_FORMAT": "confluent", "JOBSTATUS_SCHEMA_REGISTRY_URL": gate.url}
    deployed.more |= variables
    run_inside(deployed, "emit", "--job-id", "job-1", "--status", "success")
    (record,) = deployed.records()
    assert (record.value or b"")[:5] == header_of(schema_id)
