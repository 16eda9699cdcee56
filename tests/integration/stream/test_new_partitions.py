"""Partitions that are added while a consumer runs, and a topic that is not as `topics create` would make it."""

from __future__ import annotations

import json

import pytest
from support.deployment import Deployment, made_events
from support.inside import run_inside
from support.lost_tails import produce_apart
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def test_a_running_consumer_reads_new_partitions(deployed: Deployment) -> None:
    consumer = deployed.consumer("--batch-linger-seconds", "0.2")
    consumer.says("got partitions 0, 1, 2, 3")
    done = run_inside(deployed, "topics", "alter", "--partitions", "6", "--yes")
    assert [line for line in done.stderr.splitlines() if not line.startswith("jobstatus: ")] == []
    assert "has now 6 partitions; before: 4 partitions" in done.stdout
    assert "a higher attempt or a later time decides" in done.stderr
    # with the library's own interval this takes up to five minutes
    consumer.says("got partitions 4, 5", timeout=90)
    events = [event._replace(job_id=f"new-{n}") for n, event in enumerate(made_events(2, 1))]
    for partition, event in zip((4, 5), events, strict=True):
        produce_apart(deployed.bootstrap, deployed.topic, partition, [event])
    until(lambda: deployed.rows().keys() == {"new-0", "new-1"}, "the new partitions' events are written")
    assert consumer.stop() == 0


def test_topics_create_says_that_the_number_of_partitions_differs(deployed: Deployment) -> None:
    done = run_inside(deployed, "topics", "create", "--partitions", "5", "--replication", "1")
    assert f"{deployed.topic}: there already with 4 partitions, not 5; left as it is" in done.stdout
    assert "jobstatus topics alter --partitions 5" in done.stdout
    found = json.loads(run_inside(deployed, "topics", "create", "--partitions", "5", "--json").stdout)
    assert found["partitions"][deployed.topic] == 4


def test_topics_alter_refuses_fewer_and_changes_nothing_in_a_dry_run(deployed: Deployment) -> None:
    refused = run_inside(deployed, "topics", "alter", "--partitions", "3", "--yes", code=1)
    assert "has 4 partitions, and Kafka cannot remove any" in refused.stderr
    dry = run_inside(deployed, "topics", "alter", "--partitions", "6", "--dry-run", "--json")
    assert json.loads(dry.stdout) == {"dry_run": True, "from": 4, "to": 6}
    same = run_inside(deployed, "topics", "alter", "--partitions", "4", "--yes")
    assert "4 partitions already" in same.stdout
