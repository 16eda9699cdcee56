"""An upgrade to the next version and a rollback from it, under load: one group, one table, and producers of both."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.deployment import Deployment
from support.next_version import VERSION, make_next
from support.rolling import (
    hold_lateness,
    lateness,
    load,
    members,
    record,
    repeated_changes,
    replace,
    running,
    with_variables,
)
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

NEW_PRODUCER = """
import sys
from jobstatus_producer import JobStatusProducer
with JobStatusProducer.from_env() as producer:
    for number in range(int(sys.argv[2])):
        producer.update_job_status(f"{sys.argv[1]}-{number}", "success", queue="billing")
"""
OLD_PRODUCER = NEW_PRODUCER.replace(', queue="billing"', "")


def produce(deployed: Deployment, script: str, prefix: str, count: int = 40) -> None:
    argv = [sys.executable, "-c", script, prefix, str(count)]
    done = subprocess.run(argv, env=deployed.environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def queues(deployed: Deployment, prefix: str) -> list[tuple[object, ...]]:
    return deployed.query(f"SELECT queue, count(*) FROM jobs WHERE job_id LIKE '{prefix}-%' GROUP BY 1")


def differing(deployed: Deployment, *arguments: str, code: int = 0) -> list[str]:
    """The jobs whose rows are not what the log says."""
    found = json.loads(deployed.run("verify", "--json", *arguments, code=code).stdout)
    return sorted(item["job_id"] for item in found["findings"])


@pytest.fixture
def new(deployed: Deployment, tmp_path: Path) -> Deployment:
    """The same deployment, whose processes are of the next version."""
    folder = tmp_path / "next"
    folder.mkdir()
    return with_variables(deployed, make_next(folder))


@pytest.mark.long
def test_an_upgrade_under_load_and_a_rollback_lose_nothing(deployed: Deployment, new: Deployment) -> None:
    assert VERSION in new.run("--version").stdout
    record(deployed)
    with load(deployed, rate=100) as found:
        old = members(deployed, 3)
        quiet = running(4, found)
        start = time.time()
        # the tables first: the consumers of the old version go on with them
        assert "is ready" in new.run("migrate").stdout
        running(2, found)
        assert deployed.run("check").stdout.startswith("all is ready")
        assert f"the tables are of jobstatus {VERSION}" in deployed.run("check").stdout
        assert deployed.run("migrate", "--dry-run").stdout == ""
        # then the consumers, then the producers
        upgraded = replace(old, new)
        end = running(2, found)[1]
        produce(new, NEW_PRODUCER, "first")
        produce(deployed, OLD_PRODUCER, "older")
        running(2, found)
        # the way back: producers, then consumers; the tables stay
        produce(deployed, OLD_PRODUCER, "back")
        until(lambda: queues(deployed, "back") == [(None, 40)], "the new consumers have written it")
        rolled_back = replace(upgraded, deployed)
        produce(deployed, OLD_PRODUCER, "first", count=10)
        running(2, found)
    deployed.caught_up()
    hold_lateness("upgrade", lateness(deployed, *quiet), lateness(deployed, start, end))
    assert not any("waiting for" in item.text() for item in deployed.consumers)
    assert repeated_changes(deployed) == []
    assert deployed.dead_letters() == []
    assert queues(deployed, "first") == [("billing", 40)]
    assert queues(deployed, "older") == queues(deployed, "back") == [(None, 40)]
    # the new version again: what the old one wrote over rows of the new one kept their newer column
    for consumer in rolled_back:
        assert consumer.stop() == 0
    overwritten = [f"first-{number}" for number in range(10)]
    assert differing(new, code=1) == overwritten
    new.run("verify", "--repair")
    assert differing(new) == []
    assert sorted(queues(deployed, "first"), key=str) == [("billing", 30), (None, 10)]


@pytest.mark.long
def test_consumers_that_are_rolled_back_before_the_producers_lose_nothing(
    deployed: Deployment, new: Deployment
) -> None:
    new.run("migrate")
    newer = new.consumer()
    produce(new, NEW_PRODUCER, "a")
    deployed.caught_up()
    assert newer.stop() == 0
    # an old consumer cannot read the new events: they become dead letters, and it goes on
    older = deployed.consumer()
    produce(new, NEW_PRODUCER, "b")
    produce(deployed, OLD_PRODUCER, "c")
    deployed.caught_up()
    assert queues(deployed, "b") == []
    assert queues(deployed, "c") == [(None, 40)]
    listed = deployed.run("dlq", "list").stdout
    assert "unknown_schema" in listed
    assert older.stop() == 0
    # the new version reads what the old one has set aside
    new.run("dlq", "redrive", "--yes")
    again = new.consumer()
    deployed.caught_up()
    assert queues(deployed, "b") == [("billing", 40)]
    assert again.stop() == 0
    assert differing(new) == []
