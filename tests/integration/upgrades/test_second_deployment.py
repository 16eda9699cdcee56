"""A second topic with a table of its own beside the first, and two groups that write one table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from jobstatus_consumer.store import Store
from law.events import batch, event
from support.deployment import Deployment, made_events
from support.inside import run_inside

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


@pytest.fixture
def second(deployed: Deployment) -> Iterator[Deployment]:
    """Another topic, group and table on the same broker and in the same database."""
    found = replace(
        deployed,
        topic=f"{deployed.topic}-2",
        group=f"{deployed.group}-2",
        table="mail_jobs",
        consumers=[],
        partitions=2,
    )
    found.folder.joinpath("second").mkdir()
    found.folder = found.folder / "second"
    found.set_up()
    yield found
    found.close()


def test_two_deployments_beside_each_other_share_nothing(deployed: Deployment, second: Deployment) -> None:
    consumers = [deployed.consumer(), second.consumer()]
    deployed.produce_events(made_events(300, 30))
    second.produce_events(made_events(200, 30, seed=2))
    # each has a dead letter of its own
    for one in (deployed, second):
        one.produce([("job-1", b"no event", ())])
        one.caught_up()
    for one in (deployed, second):
        one.assert_exact()
        assert len(one.dead_letters()) == 1
        found = json.loads(run_inside(one, "status", "--json").stdout)
        assert (found["group"], found["members"], found["open_dead_letters"]) == (one.group, 1, 1)
        assert "remarks" not in found
        assert run_inside(one, "verify").returncode == 0
    for consumer in consumers:
        assert consumer.stop() == 0
        assert "another group" not in consumer.text()


def test_two_groups_on_one_table_are_named(deployed: Deployment) -> None:
    first = deployed.consumer()
    again = deployed.consumer()
    assert "another group" not in again.text()
    other = replace(deployed, group=f"{deployed.group}-other")
    consumer = other.consumer()
    consumer.says("consumers of another group write jobs too: pid")
    ((pid, *_),) = deployed.query(
        "SELECT pid, objid FROM pg_locks WHERE locktype = 'advisory' AND classid = 'jobs'::regclass ORDER BY"
        " count(*) OVER (PARTITION BY objid), pid LIMIT 1"
    )
    assert "Give each group a table of its own (JOBSTATUS_TABLE), or stop one of them" in consumer.text()
    found = run_inside(deployed, "status", code=0).stdout
    assert f"to know: consumers of another group write jobs too: pid {pid} (jobstatus" in " ".join(found.split())
    (remark,) = json.loads(run_inside(deployed, "status", "--json").stdout)["remarks"]
    assert f"pid {pid} " in remark
    # both write every event; the guard lets each change a row once
    deployed.produce_events(made_events(300, 30))
    for one in (deployed, other):
        one.caught_up()
    deployed.assert_exact()
    # a replay and a rebuild belong to no group
    run_inside(deployed, "replay", "--from", "beginning", "--yes", code=0)
    assert consumer.stop() == 0
    assert "to know" not in run_inside(deployed, "status").stdout
    for one_of_ours in (first, again):
        assert one_of_ours.stop() == 0


def test_a_consumer_without_the_right_to_such_locks_writes_all_the_same(
    deployed: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    role = f"hardened_{deployed.group.replace('-', '_')}"
    deployed.query(f"CREATE ROLE {role} LOGIN PASSWORD 'swordfish'")
    try:
        for statement in run_inside(deployed, "grants", "consumer", "--role", role).stdout.split(";"):
            if statement.strip():
                deployed.query(statement)
        deployed.query("REVOKE EXECUTE ON FUNCTION pg_try_advisory_lock_shared(integer, integer) FROM PUBLIC")
        url = psycopg.conninfo.make_conninfo(deployed.database_url, user=role, password="swordfish")
        with caplog.at_level("INFO", "jobstatus.store"), Store(url, "jobs", group="g") as store:
            store.connect()
            assert store.write(batch([event()])).applied == 1
        assert "whether another group writes jobs is not known" in caplog.text
    finally:
        deployed.query(f"DROP OWNED BY {role}")
        deployed.query(f"DROP ROLE {role}")
