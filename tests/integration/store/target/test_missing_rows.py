"""Jobs whose row is not there yet, is gone, or comes back."""

from __future__ import annotations

import threading

import pytest
from integration.store.target.conftest import MakeOwn
from law.events import event
from support.own_table import STATE, TARGET, OwnTable

STEPS = [
    event("17", 0, status="processing"),
    event("17", 1, time=1_000_000, status="error", error_message="disk full"),
    event("17", 2, time=2_000_000, status="processing"),
]


def test_a_job_without_a_row_is_kept_and_written_once_its_row_is_there(own: OwnTable) -> None:
    written = own.write(*STEPS)
    assert (written.rejected, own.state("17"), own.waiting()) == ((), "processing", {"17": "no row"})
    own.settle()
    assert own.waiting() == {"17": "no row"}
    own.run("INSERT INTO jobs (id) VALUES (17), (18)")
    own.settle()
    assert (own.value("status"), own.value("status", 18), own.waiting()) == ("running", "new", {})


def test_a_settled_row_shows_the_latest_state_and_no_step_before_it(own: OwnTable) -> None:
    own.write(*STEPS)
    own.run("INSERT INTO jobs (id) VALUES (17)")
    own.settle()
    row = own.row()
    assert row is not None
    assert (row["error_message"], row["finished_at"]) == (None, None)
    assert row["started_at"].startswith("2026-01-01T12:00:02"), "the first step that it sees"


def test_the_next_event_of_a_waiting_job_writes_its_row_at_once(own: OwnTable) -> None:
    own.write(STEPS[0])
    own.run("INSERT INTO jobs (id) VALUES (17)")
    own.write(STEPS[1])
    assert (own.value("status"), own.waiting()) == ("failed", {})


def test_a_row_that_was_deleted_and_inserted_again_shows_the_state(own: OwnTable) -> None:
    own.run("INSERT INTO jobs (id) VALUES (17)")
    own.write(STEPS[0])
    own.run("DELETE FROM jobs")
    own.write(STEPS[1])
    assert own.waiting() == {"17": "no row"}
    own.run("INSERT INTO jobs (id) VALUES (17)")
    own.settle()
    assert (own.value("status"), own.waiting()) == ("failed", {})
    own.write(STEPS[0])
    assert own.value("status") == "failed", "what is older changes nothing"


def test_a_job_whose_state_was_deleted_waits_no_longer(own: OwnTable) -> None:
    own.write(STEPS[0], event("18", 1))
    own.run(f"DELETE FROM {STATE} WHERE job_id = '17'")
    own.settle()
    assert own.waiting() == {"18": "no row"}


def test_insert_makes_the_row(make_own: MakeOwn) -> None:
    own = make_own(target=f'missing = "insert"\n{TARGET}')
    own.write(*STEPS)
    assert (own.value("status"), own.value("payload"), own.waiting()) == ("running", "theirs", {})


def test_ignore_leaves_a_job_without_a_row_alone_and_still_waits_for_one_that_is_locked(make_own: MakeOwn) -> None:
    own = make_own(target=f'missing = "ignore"\n{TARGET}')
    own.run("INSERT INTO jobs (id) VALUES (18)")
    with own.another() as claim:
        claim.execute("SELECT FROM jobs WHERE id = 18 FOR UPDATE")
        own.write(*STEPS, event("18", 3))
        assert own.waiting() == {"18": "locked"}
    own.settle()
    own.run("INSERT INTO jobs (id) VALUES (17)")
    own.settle()
    assert (own.value("status"), own.value("status", 18), own.waiting()) == ("new", "running", {})


def test_two_consumers_that_settle_at_once_write_each_row_once(own: OwnTable) -> None:
    jobs = range(100, 400)
    own.write(*(event(str(job), job) for job in jobs))
    own.run("CREATE TABLE counted (id bigint)")
    own.run(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO counted VALUES (new.id); RETURN null; END $$"
    )
    own.run("CREATE TRIGGER note AFTER UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION note()")
    own.run("INSERT INTO jobs (id) SELECT generate_series(100, 399)")
    own.run(f"UPDATE {STATE}_waiting SET next_try = now()")
    stores = [own.store(), own.store()]
    together = threading.Barrier(2)

    def settle(number: int) -> None:
        together.wait(30)
        stores[number].settle()

    threads = [threading.Thread(target=settle, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    own.settle()
    assert own.waiting() == {}
    assert own.run("SELECT count(*), count(DISTINCT id) FROM counted") == [(300, 300)]


@pytest.mark.parametrize("back", ["its row", "the whole table"])
def test_what_the_application_takes_back_is_not_raised_by_an_old_event(own: OwnTable, back: str) -> None:
    own.run("INSERT INTO jobs (id) VALUES (17)")
    own.write(*STEPS)
    own.run("UPDATE jobs SET status = 'new'" if back == "its row" else "TRUNCATE jobs")
    again = own.write(*STEPS)
    assert again.stale == {"redelivered": 3} or again.applied == 0
    row = own.row()
    assert row is None or row["status"] == "new"
