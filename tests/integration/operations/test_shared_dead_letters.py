"""Two deployments that share a topic of dead letters: neither touches what is the other's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from support.deployment import Deployment, made_events
from support.inside import run_inside

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def test_letters_of_another_topic_are_shown_and_left_alone(deployed: Deployment) -> None:
    other = replace(deployed, topic=f"{deployed.topic}-b", group=f"{deployed.group}-b", table="others")
    other.set_up()
    shared = f"{deployed.topic}.dlq"

    def dlq(whose: Deployment, *arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            run_inside(whose, "dlq", *arguments, "--json", JOBSTATUS_DLQ_TOPIC=shared).stdout
        )
        return found

    for whose, word, count in ((deployed, "ours", 30), (other, "theirs", 20)):
        whose.query(f"ALTER TABLE {whose.table} ADD CONSTRAINT known CHECK (status <> '{word}')")
        # of the same jobs in both, so that a row of the same name stands in the wrong table
        events = [item._replace(job_id=f"job-{at}", status=word) for at, item in enumerate(made_events(count, 1))]
        whose.produce_events(events)
        assert whose.drain(JOBSTATUS_DLQ_TOPIC=shared)["dead_letters"] == count
        whose.query(f"ALTER TABLE {whose.table} DROP CONSTRAINT known")
    seen = dlq(other, "list", "--each")
    assert (seen["open"], seen["other_topics"]) == (20, {deployed.topic: 30})
    assert [(group["open"], group["settled"], group["elsewhere"]) for group in seen["groups"]] == [(20, 0, 30)]
    assert {(item["topic"], item["state"]) for item in seen["letters"]} == {
        (deployed.topic, "elsewhere"),
        (other.topic, "open"),
    }
    said = run_inside(other, "dlq", "list", "--each", JOBSTATUS_DLQ_TOPIC=shared).stdout
    assert f"30 are of the topic {deployed.topic}, not judged here" in said
    assert said.count(f"  of {deployed.topic}  ") == 30

    assert dlq(other, "redrive", "--dry-run")["tried"] == 20
    done = dlq(other, "redrive", "--yes")
    assert (done["selected"], done["elsewhere"], done["applied"]) == (50, 30, 20)
    assert {row.status for row in other.rows().values()} == {"theirs"}
    assert deployed.rows() == {}

    refused = run_inside(other, "dlq", "purge", "--before", "now", "--yes", code=1, JOBSTATUS_DLQ_TOPIC=shared)
    assert "30 of another topic, which cannot be judged here, lie before it" in refused.stderr
    assert "open dead letters" not in refused.stderr
    refused = run_inside(deployed, "dlq", "purge", "--before", "now", "--yes", code=1, JOBSTATUS_DLQ_TOPIC=shared)
    assert "30 open dead letters and 20 of another topic" in refused.stderr
    assert dlq(deployed, "redrive", "--yes")["applied"] == 30
    assert {row.status for row in deployed.rows().values()} == {"ours"}
    gone = dlq(deployed, "purge", "--before", "now", "--even-open", "--yes")
    assert (gone["removed"], gone["settled"], gone["open"], gone["elsewhere"]) == (True, 30, 0, 20)


def test_groups_that_share_a_topic_leave_each_others_letters_alone(deployed: Deployment) -> None:
    other = replace(deployed, group=f"{deployed.group}-b", table="others")
    other.set_up()
    deployed.produce_events([item._replace(job_id=f"job-{at}") for at, item in enumerate(made_events(20, 1))])
    deployed.produce([("job-0", b"rubbish", ())])
    for whose, count in ((deployed, 1), (other, 6)):
        if whose is other:
            other.query("ALTER TABLE others ADD CONSTRAINT known CHECK (status <> 'error')")
        assert whose.drain()["dead_letters"] == count

    def dlq(whose: Deployment, *arguments: str, code: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run_inside(whose, "dlq", *arguments, "--json", code=code).stdout)
        return found

    seen = dlq(deployed, "list", "--each")
    assert {(item["reason"], item["consumer_group"], item["open"], item["elsewhere"]) for item in seen["groups"]} == {
        ("not_avro_single_object", deployed.group, 1, 0),
        ("not_avro_single_object", other.group, 0, 1),
        ("check_violation", other.group, 0, 5),
    }
    assert seen["other_groups"] == [{"consumer_group": other.group, "table": "others", "count": 6}]
    assert {(item["consumer_group"], item["table"], item["state"]) for item in seen["letters"]} == {
        (deployed.group, "jobs", "open"),
        (other.group, "others", "elsewhere"),
    }
    assert all(item["reason"] and item["detail"] for item in seen["letters"])
    said = run_inside(deployed, "dlq", "list", "--each").stdout
    assert f"6 are of the group {other.group}, not judged here: give --group-id {other.group} --table others" in said
    assert f"of group {other.group}, table others" in said

    assert dlq(deployed, "redrive", "--dry-run")["elsewhere"] == 6
    refused = run_inside(deployed, "dlq", "purge", "--before", "now", "--yes", code=1)
    assert "1 open dead letters and 6 of another group or table, which cannot be judged here, lie" in refused.stderr
    # as the group, but with another table
    assert dlq(replace(other, table="jobs"), "redrive", "--dry-run")["elsewhere"] == 7
    assert dlq(other, "list")["open"] == 6
    other.query("ALTER TABLE others DROP CONSTRAINT known")
    assert dlq(other, "redrive", "--stage", "write", "--yes")["applied"] == 5
    assert dlq(other, "list")["open"] == 1
