"""Other people's sessions and changes in the same database: named where one waits, a stop where no event can pass."""

from __future__ import annotations

import json

import psycopg
import pytest
from support.deployment import Deployment, made_events
from support.inside import run_inside
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def test_a_locked_row_is_named_in_the_waiting_line_and_in_status(deployed: Deployment) -> None:
    deployed.produce_events(made_events(200, 20))
    consumer = deployed.consumer()
    deployed.caught_up()
    with psycopg.connect(deployed.database_url, application_name="report") as other:
        other.execute("SELECT FROM jobs WHERE job_id = 'job-7' FOR UPDATE")
        session = f"pid {other.info.backend_pid} (report, query "
        deployed.produce_events(made_events(200, 20, seed=2))
        consumer.says(f"the row of job 'job-7' is locked by {session}")
        assert "waiting for the database since" in consumer.text()

        def status() -> str:
            return str(json.loads(run_inside(deployed, "status", "--json").stdout)["waiting_for"])

        until(lambda: session in status() and "the row of job 'job-7'" in status(), "status names them")
    deployed.caught_up()
    deployed.assert_exact()
    assert deployed.dead_letters() == []


def test_a_column_that_somebody_adds_stops_the_consumer_and_costs_no_event(deployed: Deployment) -> None:
    deployed.produce_events(made_events(200, 20))
    consumer = deployed.consumer()
    deployed.caught_up()
    deployed.query("ALTER TABLE jobs ADD tenant text NOT NULL DEFAULT ''")
    deployed.query("ALTER TABLE jobs ALTER tenant DROP DEFAULT")
    before = deployed.committed()
    deployed.produce_events(made_events(200, 20, seed=2, prefix="new"))
    assert consumer.process.wait(60) == 1
    assert "about tenant, which jobstatus does not fill" in consumer.text()
    assert (deployed.committed(), deployed.dead_letters()) == (before, [])
    deployed.query("ALTER TABLE jobs ALTER tenant DROP NOT NULL")
    deployed.drain()
    deployed.assert_exact()


def test_a_constraint_that_no_event_passes_stops_the_consumer(deployed: Deployment) -> None:
    deployed.query("ALTER TABLE jobs ADD CONSTRAINT none_passes CHECK (status = 'another')")
    deployed.produce_events(made_events(400, 400))
    done = run_inside(deployed, "consume", "--until-caught-up", code=1)
    assert "none_passes" in done.stderr
    assert "--dlq-budget-in-a-row" in done.stderr
    committed = sum(deployed.committed().values())
    assert committed == len(deployed.dead_letters()) < 150
    deployed.query("ALTER TABLE jobs DROP CONSTRAINT none_passes")
    summary = json.loads(run_inside(deployed, "consume", "--until-caught-up", "--json").stdout)
    assert (summary["events"], summary["dead_letters"]) == (400 - committed, 0)
