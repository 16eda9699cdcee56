"""Rows into which somebody wrote an infinite time, on a real broker and a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from jobstatus_schemas import JobStatusEvent
from support.deployment import Deployment, made_events
from support.inside import run_inside

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

BY_HAND = {
    "job-0": "latest_occurred_at = 'infinity'",
    "job-1": "latest_occurred_at = '-infinity'",
    "job-2": "occurred_at = 'infinity'",
}


def with_attempt(attempt: int, seed: int) -> Iterator[JobStatusEvent]:
    """An event of each of four jobs."""
    for number, event in enumerate(made_events(4, 1, seed=seed)):
        yield event._replace(job_id=f"job-{number}", attempt=attempt)


def test_an_infinite_time_stops_neither_consumer_nor_verify_and_is_mended(deployed: Deployment) -> None:
    deployed.produce_events(with_attempt(2, 1))
    deployed.drain()
    right = deployed.rows()
    for job_id, change in BY_HAND.items():
        deployed.query(f"UPDATE jobs SET {change} WHERE job_id = '{job_id}'")
    # events that the guard refuses: the consumer asks for their rows
    deployed.produce_events(with_attempt(1, 2))
    assert deployed.drain()["stale"] == 4
    assert json.loads(run_inside(deployed, "replay", "--dry-run", "--json").stdout)
    for job_id in BY_HAND:
        assert job_id in run_inside(deployed, "history", job_id).stdout
    run_inside(deployed, "verify", "--show-values", code=1)
    found = json.loads(run_inside(deployed, "verify", "--repair", "--json").stdout)
    assert {item["job_id"]: item["columns"] for item in found["findings"]} == {
        job_id: [change.split()[0]] for job_id, change in BY_HAND.items()
    }
    assert deployed.rows() == right
