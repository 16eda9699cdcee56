"""Verify and repair of rows whose record is no event for them, on a real broker and a real PostgreSQL."""

from __future__ import annotations

import json

import pytest
from jobstatus_consumer.operations.findings import NOT_TAKEN
from support.deployment import Deployment, made_events
from support.inside import run_inside

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def test_a_row_whose_status_is_not_taken_any_more_is_explained_and_not_set_back(deployed: Deployment) -> None:
    events = made_events(4, 1)
    words = ("old", "odd", "old", "odd")
    deployed.produce_events(
        event._replace(status=word, job_id=f"job-{number // 2}", attempt=number % 2 or None)
        for number, (event, word) in enumerate(zip(events, words, strict=True))
    )
    deployed.drain()
    before = deployed.rows()
    assert {row.status for row in before.values()} == {"odd"}
    for arguments in ((), ("--repair",), ("--strict", "--repair")):
        done = run_inside(deployed, "verify", "--statuses", "old,new", *arguments, "--json")
        found = json.loads(done.stdout)
        assert (found["findings"], found["explained"]) == ([], {NOT_TAKEN: 2})
    assert deployed.rows() == before
