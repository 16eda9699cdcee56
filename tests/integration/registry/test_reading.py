"""A consumer with a schema registry: both framings side by side, whoever has written them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from jobstatus_schemas import encode, plain_schema_text, schema_text
from support.apicurio import Registry
from support.confluent import CAUSE, NULLS, TEAM, changed, framed, framed_with, header
from support.deployment import Deployment, made_events
from support.inside import run_inside
from support.registry_gate import Gate

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def letters(deployed: Deployment) -> dict[str, tuple[str, str]]:
    """Reason and text of each dead letter, by its key."""
    found = {}
    for letter in deployed.dead_letters():
        named = {name: (text or b"").decode() for name, text in letter.headers}
        found[(letter.key or b"").decode()] = (named["jobstatus.dlq.reason"], named["jobstatus.dlq.detail"])
    return found


def test_events_of_every_framing_and_writer_are_read_side_by_side(
    deployed: Deployment, registry: Registry, gate: Gate
) -> None:
    subject = f"{deployed.topic}-value"
    client = SchemaRegistryClient({"url": registry.url, "timeout": 30})
    foreign = AvroSerializer(client, schema_text())  # confluent-kafka's own; it registers the schema
    plain_id, wide = registry.register(f"{subject}-plain", plain_schema_text()), changed(more=(TEAM,))
    wide_id = registry.register(f"{subject}-wide", wide)
    narrow = changed(without="worker_id")
    narrow_id = registry.register(f"{subject}-narrow", narrow)
    context = SerializationContext(deployed.topic, MessageField.VALUE)
    values: list[tuple[str, bytes]] = []
    events = [item._replace(job_id=f"job-{number}") for number, item in enumerate(made_events(100, 1))]
    for number, event in enumerate(events):
        fields: dict[str, Any] = event._asdict()
        made = (
            lambda e=event: encode(e),
            lambda f=fields: foreign(f, context),
            lambda e=event: framed(plain_id, e),
            lambda f=fields: framed_with(wide_id, wide, {**f, "team": "a"}),
            lambda f=fields: framed_with(narrow_id, narrow, f),
        )[number % 5]
        values.append((event.job_id, made()))
    client.close()
    deployed.produce((key, value, ()) for key, value in values)
    assert deployed.drain(JOBSTATUS_SCHEMA_REGISTRY_URL=gate.url)["dead_letters"] == 0
    rows = deployed.rows()
    for number, event in enumerate(events):
        assert rows[event.job_id].event_id == event.event_id
        assert (rows[event.job_id].worker_id is None) == (number % 5 == 4), "a field that the writer does not know"
    assert len(gate.asked) == 4, "each id is asked for once"
    run_inside(deployed, "verify", JOBSTATUS_SCHEMA_REGISTRY_URL=gate.url)
    told = run_inside(deployed, "history", "job-1", "--json", JOBSTATUS_SCHEMA_REGISTRY_URL=gate.url)
    assert events[1].event_id in told.stdout
    assert len(gate.asked) == 4, "the process keeps what the registry has answered"


def test_each_bad_value_has_its_end_and_blocks_nothing(deployed: Deployment, registry: Registry, gate: Gate) -> None:
    subject = f"{deployed.topic}-value"
    ours = registry.register(subject, schema_text())
    other = registry.register(f"{subject}-other", '{"type": "record", "name": "Order", "fields": []}')
    renamed = registry.register(f"{subject}-renamed", changed(name="Other"))
    lacking = registry.register(f"{subject}-lacking", changed(without="status"))
    recursive = registry.register(f"{subject}-recursive", changed(more=(CAUSE,)))
    endless = registry.register(f"{subject}-endless", changed(more=(NULLS,)))
    text = registry.register(f"{subject}-text", '"string"')
    event = made_events(1, 1)[0]
    deep, long_array = b"\x02" * 300_000, b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"
    bad = {
        "unknown id": header(7_654_321) + b"body",
        "largest id": header(2**31 - 1) + b"body",
        "no id": b"\x00\xff\xff\xff\xff" + b"body",
        "no schema of ours": header(other),
        "another name": framed(renamed, event),
        "lacks a field": framed_with(lacking, changed(without="status"), event._asdict()),
        "recursive": header(recursive) + deep,
        "endless": header(endless) + long_array,
        "a text": header(text) + b"\x06abc",
        "four bytes": b"\x00\x00\x00\x01",
        "one byte": b"\x00",
        "no body": header(ours),
        "more behind": framed(ours, event) + b"\x00",
    }
    records = [(key, value, ()) for key, value in bad.items()]
    good = [item._replace(job_id=f"good-{number}") for number, item in enumerate(made_events(20, 1))]
    between = [(item.job_id, framed(ours, item), ()) for item in good]
    deployed.produce([*between[:10], *records, *between[10:]])
    assert deployed.drain(JOBSTATUS_SCHEMA_REGISTRY_URL=gate.url)["dead_letters"] == len(bad)
    assert set(deployed.rows()) == {item.job_id for item in good}
    found = letters(deployed)
    assert found["unknown id"] == (
        "unknown_schema",
        "Confluent framing, schema id 7654321, which the schema registry does not know",
    )
    assert found["largest id"][1].startswith("Confluent framing, schema id 2147483647, which")
    assert found["no id"] == (
        "unknown_schema",
        "Confluent framing, schema id 4294967295; no registry has an id over 2147483647",
    )
    for key, schema_id in (("no schema of ours", other), ("another name", renamed), ("a text", text)):
        assert found[key] == (
            "other_schema",
            f"written with schema id {schema_id}, which is no schema of a status event",
        )
    assert found["lacks a field"][0] == "other_schema"
    assert found["recursive"] == ("other_schema", f"schema id {recursive} is not used: the schema is recursive")
    assert found["endless"][1].endswith("an array whose items take no bytes")
    assert found["four bytes"] == ("malformed", "Confluent framing that ends after 4 of its 5 bytes")
    assert {found[key][0] for key in ("one byte", "no body")} == {"malformed"}
    assert found["more behind"][0] == "trailing_bytes"


def test_without_a_registry_a_dead_letter_says_what_it_is_and_a_redrive_with_one_applies_it(
    deployed: Deployment, registry: Registry, gate: Gate
) -> None:
    schema_id = registry.register(f"{deployed.topic}-value", schema_text())
    event = made_events(1, 1)[0]._replace(job_id="job-1")
    deployed.produce([("job-1", framed(schema_id, event), ()), ("job-2", header(70_707) + b"body", ())])
    assert deployed.drain()["dead_letters"] == 2
    reason, text = letters(deployed)["job-2"]
    assert reason == "not_avro_single_object"
    assert text == "Confluent framing, schema id 70707; it is read if JOBSTATUS_SCHEMA_REGISTRY_URL is set"
    done = run_inside(deployed, "dlq", "redrive", "--yes", "--json", code=1, JOBSTATUS_SCHEMA_REGISTRY_URL=gate.url)
    told = json.loads(done.stdout)
    assert (told["applied"], told["failed_again"]) == (1, {"unknown_schema": 1})
    assert deployed.rows()["job-1"].event_id == event.event_id
