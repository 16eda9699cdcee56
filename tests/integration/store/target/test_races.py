"""What another session does between the snapshot of a statement and its locks.

A trigger of the managed table stops the statement there, with its snapshot and without a lock on the target.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from integration.store.target.conftest import MakeOwn
from jobstatus_consumer.records import Projected
from jobstatus_consumer.store import Limits
from law.events import batch, event
from support.own_table import TARGET, OwnTable
from support.waiting import until

PATIENT = Limits(statement=120.0, lock=100.0)
GATE = 4711
STOP = f"""
CREATE FUNCTION stop_here() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_advisory_lock_shared({GATE}); PERFORM pg_advisory_unlock_shared({GATE}); RETURN new; END $$;
CREATE TRIGGER stop_here BEFORE {{what}} FOR EACH ROW EXECUTE FUNCTION stop_here()
"""


@contextmanager
def stopped(own: OwnTable, work: Callable[[], object]) -> Iterator[list[object]]:
    """`work` stands in the trigger inside the block, and has ended after it; the list then has what it returned."""
    result: list[object] = []
    with own.another() as gate:
        gate.execute("SELECT pg_advisory_lock(%s)", (GATE,))
        thread = threading.Thread(target=lambda: result.append(work()))
        thread.start()
        until(lambda: own.run("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"), "it stands there")
        yield result
    thread.join(60)
    assert not thread.is_alive()


def written(own: OwnTable, meanwhile: str) -> Projected | None:
    """What a batch with one event does, while `meanwhile` is executed and committed."""
    own.run(STOP.format(what="INSERT ON jobs_status"))
    found: list[Projected | None] = []
    with stopped(own, lambda: found.append(own.store(PATIENT).write(batch([event("17")], ())).projected)):
        own.run(meanwhile)
    assert len(found) == 1
    return found[0]


def test_the_condition_is_judged_on_the_row_that_is_locked(own: OwnTable) -> None:
    own.run("INSERT INTO jobs (id) VALUES (17)")
    found = written(own, "UPDATE jobs SET status = 'cancelled', payload = 'also theirs' WHERE id = 17")
    assert found == Projected(written=0)
    assert (own.value("status"), own.value("payload"), own.waiting()) == ("cancelled", "also theirs", {})


def test_a_row_that_was_changed_since_the_snapshot_keeps_the_change(own: OwnTable) -> None:
    own.run("INSERT INTO jobs (id) VALUES (17)")
    found = written(own, "UPDATE jobs SET payload = 'newer', started_at = 'epoch' WHERE id = 17")
    assert found == Projected(written=1)
    assert (own.value("status"), own.value("payload")) == ("running", "newer")
    assert own.value("started_at").startswith("1970-01-01T00:00:00")


@pytest.mark.parametrize("change", ["DELETE FROM jobs WHERE id = 17", "UPDATE jobs SET id = 18 WHERE id = 17"])
def test_a_row_that_is_gone_since_the_snapshot_is_waited_for(own: OwnTable, change: str) -> None:
    own.run("INSERT INTO jobs (id) VALUES (17)")
    assert written(own, change) == Projected(parked=1)
    assert own.row() is None
    assert list(own.waiting()) == ["17"]


@pytest.mark.parametrize("missing", ["wait", "insert"])
def test_a_row_that_came_since_the_snapshot_is_written_by_settling(make_own: MakeOwn, missing: str) -> None:
    own = make_own(target=TARGET.replace('table = "jobs"', f'table = "jobs"\nmissing = "{missing}"'))
    assert written(own, "INSERT INTO jobs (id) VALUES (17)") == Projected(parked=1)
    assert own.value("status") == "new"
    own.settle()
    assert (own.value("status"), own.waiting()) == ("running", {})


def test_an_event_that_comes_while_its_job_is_settled_is_not_lost(own: OwnTable) -> None:
    """It waits for the state that settling has locked. Otherwise it would find the row locked, let the job wait, and
    settling would end that wait with the older state."""
    store, other = own.store(PATIENT), own.store(PATIENT)
    own.write(event("17", 0), store=store)
    own.run("INSERT INTO jobs (id) VALUES (17)")
    own.run(STOP.format(what="UPDATE ON jobs"))
    with stopped(own, store.settle):
        late: list[object] = []
        thread = threading.Thread(target=lambda: late.append(own.write(event("17", 1, status="success"), store=other)))
        thread.start()
        until(
            lambda: late or own.run("SELECT 1 FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"),
            "the event is written or waits",
        )
    thread.join(60)
    own.settle()
    assert (own.value("status"), own.waiting()) == ("done", {})


def test_a_job_whose_state_was_deleted_waits_on_if_an_event_brings_it_back_just_now(own: OwnTable) -> None:
    store, other = own.store(PATIENT), own.store(PATIENT)
    own.write(event("17", 0), store=store)
    own.run("DELETE FROM jobs_status")
    own.run(STOP.format(what="INSERT ON jobs_status").replace("BEFORE", "AFTER").replace("ROW", "STATEMENT"))
    with stopped(own, lambda: store.write(batch([event("17", 1)], ()))):
        other.settle()
    assert list(own.waiting()) == ["17"]


def test_a_job_whose_state_is_being_written_is_not_settled(own: OwnTable) -> None:
    """Settling does not wait for the state, and takes up the other jobs."""
    own.write(event("17", 0), event("18", 1))
    own.run("INSERT INTO jobs (id) VALUES (17), (18)")
    with own.another() as session:
        session.execute("UPDATE jobs_status SET updated_at = now() WHERE job_id = '17'")
        own.settle()
        assert (own.value("status"), own.value("status", 18)) == ("new", "running")
    own.settle()
    assert own.value("status") == "running"
