"""Dead letters: seen, applied once their cause is mended, never over what is newer, and purged only when settled."""

from __future__ import annotations

import json
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from jobstatus_schemas import encode
from support.deployment import Deployment, made_events
from support.inside import run_inside
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def dlq(deployed: Deployment, *arguments: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_inside(deployed, "dlq", *arguments, "--json", code=code).stdout)
    return found


def refuse_errors(deployed: Deployment) -> None:
    deployed.query("ALTER TABLE jobs ADD CONSTRAINT known CHECK (status <> 'error')")


def accept_errors(deployed: Deployment) -> None:
    deployed.query("ALTER TABLE jobs DROP CONSTRAINT known")


def test_after_the_cause_was_mended_a_redrive_lands_what_nothing_newer_has_replaced(deployed: Deployment) -> None:
    refuse_errors(deployed)
    events = made_events(400, 60)
    # half of the jobs end with an error, and some of those get news before the redrive
    deployed.produce_events(events)
    deployed.produce([("job-0", b"rubbish: secret", ()), (None, b"rubbish", ())])
    deployed.drain()
    before = dlq(deployed, "list", "--each")
    write = next(group for group in before["groups"] if group["stage"] == "write")
    assert (write["reason"], write["where"]) == ("check_violation", "known")
    assert write["open"] > 0
    assert write["settled"] > 0
    planned = dlq(deployed, "redrive", "--stage", "write", "--dry-run")
    assert planned["tried"] == write["open"]
    again = run_inside(deployed, "dlq", "redrive", "--stage", "write", "--yes", code=1)
    assert f"{write['open']} failed again" in again.stderr
    accept_errors(deployed)
    newer = next(item["job_id"] for item in before["letters"] if not item["settled"] and item["stage"] == "write")
    deployed.produce_events([made_events(1, 1, seed=5)[0]._replace(job_id=newer, status="newer")])
    deployed.drain()
    one = next(item for item in before["letters"] if not item["settled"] and item["job_id"] not in (newer, None))
    first = dlq(deployed, "redrive", "--job-id", one["job_id"], "--offsets", one["position"], "--yes")
    assert first["selected"] == 1
    done = dlq(deployed, "redrive", "--stage", "write", "--yes")
    assert done["failed_again"] == {}
    assert deployed.rows()[newer].status == "newer"
    deployed.assert_exact()
    twice = dlq(deployed, "redrive", "--stage", "write", "--yes")
    assert (twice["tried"], twice["applied"]) == (0, 0)
    assert dlq(deployed, "list", "--stage", "write")["open"] == 0
    shown = run_inside(deployed, "dlq", "show", one["position"]).stdout
    assert "check_violation" in shown
    assert "it broke" not in shown
    assert "it broke" in run_inside(deployed, "dlq", "show", one["position"], "--show-values").stdout
    assert "no dead letter" in run_inside(deployed, "dlq", "show", "0:999999", code=1).stderr
    refused = run_inside(deployed, "dlq", "redrive", "--offsets", "17", code=2)
    assert "is not P:N" in refused.stderr
    assert "secret" not in run_inside(deployed, "dlq", "list", "--each").stdout


def test_purge_keeps_what_is_open_unless_told(deployed: Deployment) -> None:
    refuse_errors(deployed)
    deployed.produce_events(made_events(80, 80))
    deployed.drain()
    count = len(deployed.dead_letters())
    refused = run_inside(deployed, "dlq", "purge", "--before", "now", "--yes", code=1)
    assert "open dead letters lie before it" in refused.stderr
    assert len(deployed.dead_letters()) == count
    assert dlq(deployed, "purge", "--before", "1h ago", "--yes")["removed"] is False
    accept_errors(deployed)
    dlq(deployed, "redrive", "--yes")
    assert dlq(deployed, "purge", "--before", "now", "--dry-run")["settled"] == count
    assert len(deployed.dead_letters()) == count
    assert dlq(deployed, "purge", "--before", "now", "--yes")["removed"] is True
    assert deployed.dead_letters() == []
    deployed.produce([("job-1", b"rubbish", ()), (None, b"rubbish", ())])
    deployed.drain()
    assert dlq(deployed, "purge", "--before", "now", "--yes", "--even-open")["removed"] is True
    assert "--before 9:1" in run_inside(deployed, "dlq", "purge", "--before", "9:1", "--yes", code=2).stderr


def test_after_the_topic_was_made_again_a_redrive_puts_no_old_news_over_new(deployed: Deployment) -> None:
    refuse_errors(deployed)
    events = [event._replace(job_id=f"job-{number}") for number, event in enumerate(made_events(60, 60))]
    deployed.produce_events(events)
    deployed.drain()
    admin = AdminClient({"bootstrap.servers": deployed.bootstrap})
    admin.delete_topics([deployed.topic])[deployed.topic].result(30)
    until(lambda: deployed.topic not in admin.list_topics(timeout=10).topics, "the topic is gone")
    deployed.run("topics", "create", "--partitions", "4", "--replication", "1")
    failed = [event.job_id for event in events if event.status == "error"]
    news = made_events(5, 5, seed=4)
    deployed.produce([(job, encode(event._replace(job_id=job, status="newer")), ())
                      for job, event in zip(failed, news, strict=False)])  # fmt: skip
    deployed.drain("--on-lost-offsets", "earliest")
    accept_errors(deployed)
    done = dlq(deployed, "redrive", "--yes")
    assert done["applied"] == len(failed) - 5
    rows = deployed.rows()
    assert {rows[job].status for job in failed[:5]} == {"newer"}
    assert {rows[job].status for job in failed[5:]} == {"error"}
    assert dlq(deployed, "redrive", "--yes")["tried"] == 0
    assert "dead letters" in run_inside(deployed, "replay", "--topic", f"{deployed.topic}.dlq", code=1).stderr
