"""Repair where the database refuses a row or is busy, on a real broker and a real PostgreSQL."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from support.deployment import Deployment, made_events
from support.forked import COMMAND, Command
from support.inside import run_inside
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

WHY = "CheckViolation (23514, no_job_2)"


def test_rows_that_the_database_refuses_are_named_with_the_reason_and_all_others_mended(deployed: Deployment) -> None:
    deployed.produce_events(made_events(60, 6))
    deployed.drain()
    right = deployed.rows()
    deployed.query("UPDATE jobs SET worker_id = 'by hand' WHERE job_id IN ('job-1', 'job-2', 'job-3', 'job-4')")
    deployed.query("DELETE FROM jobs WHERE job_id = 'job-5'")
    deployed.query(
        "ALTER TABLE jobs ADD CONSTRAINT no_job_2 CHECK (job_id NOT IN ('job-2', 'job-5') OR worker_id = 'by hand')"
    )
    people = run_inside(deployed, "verify", "--repair", code=1).stdout
    assert f"job-2: the database refuses its row: {WHY}" in people
    assert "events: check_violation (23514, no_job_2)" in people
    assert "3 rows repaired, 2 still differ" in people
    rows = deployed.rows()
    assert {job for job in right if rows.get(job) != right[job]} == {"job-2", "job-5"}
    told = json.loads(run_inside(deployed, "verify", "--repair", "--json", code=1).stdout)
    assert (told["mended"], told["not_mended"]) == (0, ["job-2", "job-5"])
    assert told["refused"]["rows"] == {"job-2": WHY}
    assert set(told["refused"]["events"]) == {"check_violation (23514, no_job_2)"}
    assert len(told["refused"]["events_at"]) > 0
    assert "by hand" not in json.dumps(told)


def test_a_locked_row_is_waited_for_and_then_mended(deployed: Deployment, tmp_path: Path) -> None:
    deployed.produce_events(made_events(20, 2))
    deployed.drain()
    right = deployed.rows()
    deployed.query("UPDATE jobs SET status = 'bogus'")
    said = tmp_path / "said"
    with said.open("wb") as out, psycopg.connect(deployed.database_url) as other:
        other.execute("SELECT FROM jobs WHERE job_id = 'job-1' FOR UPDATE")
        repairing = Command[bytes]([COMMAND, "verify", "--repair"], env=deployed.environ, stderr=out)
        try:
            until(lambda: "waiting for the database" in said.read_text(), "the repair says that it waits")
            other.rollback()
            assert repairing.wait(60) == 0
        finally:
            repairing.kill()
    assert said.read_text().count("waiting for the database: LockNotAvailable (55P03)") == 1
    assert deployed.rows() == right
