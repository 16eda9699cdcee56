"""What the application's own writes and ours do to each other."""

from __future__ import annotations

import os
import random
import threading

import psycopg
import pytest
from law.events import event
from support.own_table import OwnTable
from support.waiting import until

LOCKS = (
    "UPDATE jobs SET payload = payload WHERE id = %s",
    "SELECT FROM jobs WHERE id = %s FOR UPDATE SKIP LOCKED",
)
"""One session of the application waits for locks in any order, and the other claims: without us there is no circle."""
SECONDS = float(os.environ.get("OWN_TABLE_SECONDS", "3"))
"""How long the application and two consumers fight over the same rows; 60 for a long look."""


def test_nothing_but_the_mapped_columns_is_touched(own: OwnTable) -> None:
    own.run("INSERT INTO jobs (id, payload) VALUES (17, 'a'), (18, 'b')")
    before, other = own.row(), own.row(18)
    own.write(event("17", 0))
    after = own.row()
    assert before is not None
    assert after is not None
    assert {name for name in after if after[name] != before[name]} == {"status", "started_at", "updated_at"}
    assert own.row(18) == other


@pytest.mark.parametrize("again", ["redelivered", "lower_attempt"])
def test_an_event_that_changes_nothing_in_the_state_does_not_touch_the_row(own: OwnTable, again: str) -> None:
    own.run("INSERT INTO jobs (id) VALUES (17)")
    own.write(event("17", 5, attempt=2))
    own.run("UPDATE jobs SET updated_at = 'epoch', status = 'new', payload = 'changed'")
    before = own.row()
    stale = event("17", 5, attempt=2) if again == "redelivered" else event("17", 6, attempt=1, status="error")
    assert own.write(stale).stale == {again: 1}
    assert own.row() == before


def test_the_condition_protects_what_the_application_wrote(own: OwnTable) -> None:
    own.run("INSERT INTO jobs (id) VALUES (17)")
    own.write(event("17", 0))
    own.run("UPDATE jobs SET status = 'cancelled' WHERE id = 17")
    written = own.write(event("17", 1, status="success"))
    assert (written.applied, written.rejected, own.waiting()) == (1, (), {})
    assert (own.value("status"), own.state("17")) == ("cancelled", "success")
    own.settle()
    assert own.value("status") == "cancelled"


def test_a_later_event_writes_over_what_the_application_wrote(own: OwnTable) -> None:
    own.run("INSERT INTO jobs (id) VALUES (17)")
    own.write(event("17", 0))
    own.run("UPDATE jobs SET status = 'new', error_message = 'set back' WHERE id = 17")
    own.write(event("17", 1, status="success"))
    assert (own.value("status"), own.value("error_message")) == ("done", None)


def test_two_consumers_and_an_application_that_locks_in_any_order_never_wait_in_a_circle(own: OwnTable) -> None:
    jobs = [str(number) for number in range(40)]
    own.run("INSERT INTO jobs (id) SELECT generate_series(0, 39)")
    stop, problems, written = threading.Event(), [], [0, 0]

    def consume(number: int) -> None:
        store, rng, offset = own.store(), random.Random(number), 0
        while not stop.is_set():
            events = [
                event(rng.choice(jobs), offset + at, time=offset + at, log_id=f"log/{number}/0") for at in range(50)
            ]
            offset += 50
            own.write(*events, store=store)
            # not what was applied: the other one's events may be newer than all of these
            written[number] += 1
            store.settle()

    def apply(number: int) -> None:
        rng = random.Random(100 + number)
        with psycopg.connect(own.url) as session:
            while not stop.is_set():
                for job in rng.sample(jobs, 6):
                    session.execute(LOCKS[number], (job,))
                session.commit()

    def watched(work: object, number: int) -> None:
        try:
            work(number)  # type: ignore[operator]
        except Exception as error:  # noqa: BLE001 - any error of any thread fails the test
            problems.append(f"{getattr(work, '__name__', '')}: {type(error).__name__} {error}")
            stop.set()

    threads = [threading.Thread(target=watched, args=(work, number)) for work in (consume, apply) for number in (0, 1)]
    for thread in threads:
        thread.start()
    until(lambda: min(written) > 0 or problems, "both consumers have written")
    stop.wait(SECONDS)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert problems == []
    own.settle()
    assert own.waiting() == {}
    different = own.run(
        "SELECT count(*) FROM jobs AS j JOIN jobs_status AS s ON s.job_id = j.id::text WHERE j.status <> 'running'"
    )
    assert different == [(0,)]
