"""`jobstatus schema`: the schema without a registry, and its way into one."""

from __future__ import annotations

import json

import pytest
from jobstatus_schemas import plain_schema_text, schema_text
from support.apicurio import Registry
from support.confluent import CAUSE, changed
from support.deployment import Deployment
from support.inside import run_inside
from support.registry_gate import Gate, Mood

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def test_the_schema_is_shown_without_a_registry(deployed: Deployment) -> None:
    assert json.loads(run_inside(deployed, "schema", "show").stdout) == json.loads(schema_text())
    assert json.loads(run_inside(deployed, "schema", "show", "--plain").stdout) == json.loads(plain_schema_text())
    for command in ("register", "check"):
        told = run_inside(deployed, "schema", command, code=2)
        assert "JOBSTATUS_SCHEMA_REGISTRY_URL is not set" in told.stderr


def test_it_is_registered_once_and_checked(deployed: Deployment, registry: Registry, gate: Gate) -> None:
    subject = f"{deployed.topic}-value"
    deployed.more["JOBSTATUS_SCHEMA_REGISTRY_URL"] = gate.url
    missing = run_inside(deployed, "schema", "check", code=1)
    assert missing.stdout.splitlines() == [
        f"{subject}: the event's schema is not registered",
        "  - the event's schema is not registered; register it with: jobstatus schema register",
    ]
    run_inside(deployed, "schema", "register", "--dry-run")
    assert subject not in registry.ask("GET", "/subjects")
    assert "give --yes" in run_inside(deployed, "schema", "register", code=2).stderr
    first = json.loads(run_inside(deployed, "schema", "register", "--yes", "--json").stdout)
    again = json.loads(run_inside(deployed, "schema", "register", "--yes", "--json").stdout)
    assert first == again
    assert first["id"] == registry.ask("GET", f"/subjects/{subject}/versions/latest")["id"]
    told = run_inside(deployed, "schema", "check").stdout
    assert told == f"{subject}: the event's schema is id {first['id']}, version 1 of 1\n"
    assert f"is id {first['id']}, version 1 of 1" in run_inside(deployed, "schema", "show").stderr
    run_inside(deployed, "schema", "register", "--yes", "--subject-strategy", "topic_record")
    assert f"{deployed.topic}-jobstatus.JobStatusEvent" in registry.ask("GET", "/subjects")


def test_what_the_registry_forbids_and_what_no_consumer_can_read_is_said(
    deployed: Deployment, registry: Registry, gate: Gate
) -> None:
    subject = f"{deployed.topic}-value"
    deployed.more["JOBSTATUS_SCHEMA_REGISTRY_URL"] = gate.url
    registry.register(subject, changed(without="status", more=(CAUSE,)))
    registry.ask("PUT", f"/config/{subject}", {"compatibility": "FULL"})
    refused = run_inside(deployed, "schema", "register", "--yes", code=1)
    assert f"incompatible with version 1 of {subject}. Nothing was registered" in refused.stderr
    told = run_inside(deployed, "schema", "check", code=1).stdout
    assert "the newest version cannot be read, its events become dead letters: schema id" in told
    gate.mood = Mood.LOGIN_REFUSED
    told = run_inside(deployed, "schema", "check", code=1).stderr
    assert f"the schema registry {gate.url} refuses the login (HTTP 401). Nothing was changed" in told
