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
