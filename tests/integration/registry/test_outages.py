"""A consumer whose schema registry is in trouble: it waits as it does for the database, and nothing is lost."""

from __future__ import annotations

import itertools
import json
import re
import urllib.error
import urllib.request
from typing import Any

import pytest
from jobstatus_schemas import encode, schema_text
from support.apicurio import Registry
from support.confluent import framed
from support.deployment import ConsumerProcess, Deployment, made_events
from support.inside import run_inside
from support.registry_gate import Gate, Mood
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def asked(consumer: ConsumerProcess, path: str) -> tuple[int, str]:
    consumer.says("metrics and health on")
    found = re.search(r"metrics and health on (http://\S+)", consumer.text())
    assert found is not None
    try:
        with urllib.request.urlopen(f"{found[1]}/{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def health(consumer: ConsumerProcess) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(asked(consumer, "readyz")[1])
    return found


def waits(consumer: ConsumerProcess, for_what: str) -> bool:
    return for_what in health(consumer)["waiting_for"]


def with_registry(deployed: Deployment, gate: Gate) -> None:
    deployed.more |= {"JOBSTATUS_SCHEMA_REGISTRY_URL": gate.url, "JOBSTATUS_HTTP_ADDRESS": "127.0.0.1:0"}


@pytest.mark.slow
def test_an_unknown_id_waits_through_every_trouble_of_the_registry(
    deployed: Deployment, registry: Registry, gate: Gate
) -> None:
    schema_id = registry.register(f"{deployed.topic}-value", schema_text())
    before, first, after = (
        made_events(20, 5, seed=seed, prefix=prefix) for seed, prefix in ((1, "a"), (2, "b"), (3, "c"))
    )
    with_registry(deployed, gate)
    gate.mood = Mood.SILENT
    consumer = deployed.consumer(JOBSTATUS_KAFKA_MAX_POLL_INTERVAL_MS="7000")
    deployed.produce_events(before)
    deployed.caught_up()
    deployed.produce((item.job_id, framed(schema_id, item), ()) for item in first)
    deployed.produce_events(after)
    until(lambda: waits(consumer, "schema registry: "), "it says what it waits for")
    for mood, text in (
        (Mood.HTML, "answers with something that is no JSON; is it a schema registry?"),
        (Mood.NOT_FOUND_HTML, "answers with HTTP 404; is it a schema registry, and is the path right?"),
        (Mood.LOGIN_REFUSED, "refuses the login (HTTP 401)"),
        (Mood.SILENT, "does not answer (ReadTimeout"),
        (Mood.BROKEN, "answers with HTTP 500"),
    ):
        gate.mood = mood
        until(lambda text=text: waits(consumer, text), text)  # type: ignore[misc]
        assert (asked(consumer, "livez")[0], asked(consumer, "readyz")[0]) == (200, 503)
    assert "jobstatus_waiting_for{" in asked(consumer, "metrics")[1]
    assert re.search(r'jobstatus_waiting_for\{[^}]*reason="registry"[^}]*\} 1\.0', asked(consumer, "metrics")[1])
    assert health(consumer)["assigned_partitions"] == 4, "it has polled all the time"
    # a second member takes its share, and the first one stops, both in the middle of the wait
    second = deployed.consumer()
    until(lambda: health(second)["assigned_partitions"] == 2, "a rebalance works")
    assert consumer.stop() == 0
    until(lambda: health(second)["assigned_partitions"] == 4, "the other has all")
    assert len(deployed.rows()) == 5
    second.says("waiting for the schema registry since ")
    gate.mood = Mood.OPEN
    deployed.caught_up()
    second.says("the schema registry answers again")
    assert second.stop() == 0
    assert deployed.dead_letters() == []
    newest = {item.job_id: item.event_id for item in (*before, *first, *after)}
    assert {job: row.event_id for job, row in deployed.rows().items()} == newest


@pytest.mark.slow
def test_known_ids_need_no_registry_and_one_with_other_ids_changes_nothing(
    deployed: Deployment, registry: Registry, gate: Gate
) -> None:
    subject = f"{deployed.topic}-value"
    schema_id = registry.register(subject, schema_text())
    with_registry(deployed, gate)
    consumer = deployed.consumer()
    events = made_events(300, 30)
    deployed.produce((item.job_id, framed(schema_id, item), ()) for item in events[:100])
    deployed.caught_up()
    registry.stop()
    deployed.produce((item.job_id, framed(schema_id, item), ()) for item in events[100:200])
    deployed.caught_up()
    registry.start()
    # the old id is another schema's now, however many were registered before
    for number in itertools.count():
        other = f'{{"type": "enum", "name": "E{number}", "symbols": ["a"]}}'
        if registry.register(f"{subject}-{number}", other) >= schema_id:
            break
    new_id = registry.register(subject, schema_text())
    assert new_id != schema_id
    deployed.produce((item.job_id, framed(new_id, item), ()) for item in events[200:])
    deployed.caught_up()
    assert consumer.stop() == 0
    assert deployed.dead_letters() == []
    newest = {item.job_id: item.event_id for item in events}
    assert {job: row.event_id for job, row in deployed.rows().items()} == newest


def test_commands_say_that_the_registry_gives_no_answer_and_do_nothing(
    deployed: Deployment, registry: Registry, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobstatus_schemas.registry.schemas.PATIENCE_SECONDS", 0.0)
    schema_id = registry.register(f"{deployed.topic}-value", schema_text())
    event = made_events(1, 1)[0]._replace(job_id="job-1")
    deployed.produce([("job-1", framed(schema_id, event), ()), ("job-2", encode(event), ())])
    assert deployed.drain()["dead_letters"] == 2
    deployed.more["JOBSTATUS_SCHEMA_REGISTRY_URL"] = gate.url
    gate.mood = Mood.BROKEN
    for command in (["verify"], ["replay", "--yes"], ["history", "job-1"]):
        told = run_inside(deployed, *command, code=1)
        assert f"an event needs schema id {schema_id}, and the schema registry {gate.url} answers with" in told.stderr
        assert "run the command again when the registry answers" in told.stderr
    listed = json.loads(run_inside(deployed, "dlq", "list", "--json").stdout)
    assert listed["open"] == 2, "nobody knows whether the first one matters"
    done = json.loads(run_inside(deployed, "dlq", "redrive", "--yes", "--json", code=1).stdout)
    assert done["failed_again"] == {"schema_registry_unavailable": 1, "key_is_not_job_id": 1}
    run_inside(deployed, "status")
    found = json.loads(run_inside(deployed, "check", "--json", code=1).stdout)
    assert found["problems"][-1]["what"] == f"the schema registry {gate.url} answers with HTTP 500"
    gate.mood = Mood.OPEN
    assert json.loads(run_inside(deployed, "dlq", "redrive", "--yes", "--json", code=1).stdout)["applied"] == 1
    run_inside(deployed, "check")
    run_inside(deployed, "history", "job-1")
