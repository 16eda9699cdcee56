"""The law with purges: a job that was purged is judged by what is left of it, and only real news brings it back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobstatus_consumer.core.rule import RowState, decide
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import Finished, PurgeTable, Store
from law import table
from law.events import LOG_A, LOG_B, NOON, batch, event
from law.histories import JOBS, History, histories
from law.model import Row, Table, applied, one_by_one, purge
from psycopg.rows import TupleRow

Database = psycopg.Connection[TupleRow]
Steps = Sequence[Sequence[Event] | frozenset[str]]
EVERY = Finished(("processing", "success", "error", "theirs"), NOON * 2)


@pytest.fixture
def purging(url: str) -> Iterator[PurgeTable]:
    with PurgeTable(url, "jobs") as found:
        yield found


def what_is_left() -> list[Row]:
    """What purges leave around an event at offset 4 of log A with time 1: one for each side of each clause."""
    attempts, latest = (None, 0, 1, 2), tuple(NOON + time for time in (0, 1, 2))
    found = itertools.product(attempts, latest, ((log, at) for log in (LOG_A, LOG_B) for at in (3, 4, 5)))
    return [Row(attempt=tried, latest=at, log=log, offset=n, purged=True) for tried, at, (log, n) in found]


def test_the_guard_decides_on_what_is_left_as_the_model_on_either_side_of_every_clause(
    store: Store, database: Database
) -> None:
    for attempt, late in itertools.product((None, 0, 1), (False, True)):
        before: Table = {f"job-{number:03}": row for number, row in enumerate(what_is_left())}
        events = [event(job_id, 4, attempt=attempt, time=1, late=late) for job_id in before]
        table.replace(database, before)

        written = store.write(batch(events, ranges=()))

        assert table.read(database) == one_by_one(before, events)
        reasons = [decide(RowState(r.attempt, r.latest, r.log, r.offset), events[0]) for r in before.values()]
        assert written.applied == reasons.count("applied")
        assert written.rejected == ()
        assert dict(written.stale) == {reason: reasons.count(reason) for reason in set(reasons) if reason != "applied"}


def test_a_second_purge_of_a_job_leaves_what_its_second_row_was(
    store: Store, purging: PurgeTable, database: Database
) -> None:
    first, second = event("job-1", 5, attempt=1, time=10), event("job-1", 0, attempt=2, time=20, log_id=LOG_B)
    for item in (first, second):
        assert store.write(batch([item])).applied == 1
        assert purging.purge(EVERY, ["job-1"]) == 1
    assert table.read(database) == purge(one_by_one({}, [first, second]), ["job-1"])


def test_a_row_beside_what_is_left_of_its_job_counts_alone(
    store: Store, purging: PurgeTable, database: Database
) -> None:
    """Another program may insert the row of a purged job."""
    store.write(batch([event("job-1", 5, attempt=2, time=50)]))
    assert purging.purge(EVERY, ["job-1"]) == 1
    database.execute("INSERT INTO jobs (job_id, status) VALUES ('job-1', 'theirs')")
    again = event("job-1", 4, time=40)
    assert store.write(batch([again], ranges=())).applied == 1
    assert table.read(database) == {"job-1": applied(Row("theirs"), again)}


def test_a_purge_takes_only_rows_that_are_finished_still(store: Store, purging: PurgeTable, database: Database) -> None:
    finished = Finished(("success",), NOON + 10)
    jobs = {"done": ("success", 9), "too-new": ("success", 10), "not-done": ("processing", 1)}
    store.write(batch([event(job, n, status=word, time=at) for n, (job, (word, at)) in enumerate(jobs.items())]))
    database.execute("INSERT INTO jobs (job_id, status, latest_occurred_at) VALUES ('theirs', 'success', 'epoch')")
    assert [(item.status, item.rows, item.others) for item in purging.counts(finished)] == [("success", 1, 1)]
    assert purging.finished(finished) == ["done"]
    assert purging.finished(finished) == []
    purging.close()
    assert purging.finished(finished) == ["done"], "a new connection begins anew"
    assert purging.purge(finished, [*jobs, "theirs", "never-was"]) == 1
    assert {job for job, row in table.read(database).items() if row.purged} == {"done"}


def test_a_row_that_another_session_has_locked_is_left(store: Store, purging: PurgeTable, url: str) -> None:
    store.write(batch([event("job-1", 0), event("job-2", 1)]))
    with psycopg.connect(url) as other:
        other.execute("SELECT FROM jobs WHERE job_id = 'job-1' FOR UPDATE")
        assert purging.purge(EVERY, ["job-1", "job-2"]) == 1
    assert purging.purge(EVERY, ["job-1", "job-2"]) == 1


@st.composite
def steps(draw: st.DrawFn, history: History) -> Steps:
    """The history's batches with purges, and whole replays of what came so far, between them."""
    found: list[Sequence[Event] | frozenset[str]] = []
    for number, events in enumerate(history.deliveries):
        found.append(events)
        for kind in draw(st.lists(st.sampled_from(("purge", "replay")), max_size=2)):
            again = [item for earlier in history.deliveries[: number + 1] for item in earlier]
            found.append(frozenset(draw(st.sets(st.sampled_from(JOBS)))) if kind == "purge" else again)
    return found


def test_any_history_with_purges_and_replays_ends_as_one_by_one(
    store: Store, purging: PurgeTable, database: Database
) -> None:
    @settings(max_examples=400)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        history = data.draw(histories())
        expected = history.rows
        table.replace(database, history.rows)
        for step in data.draw(steps(history)):
            if isinstance(step, frozenset):
                count = purging.purge(EVERY, sorted(step))
                purged = purge(expected, step)
                assert count == sum(row != expected.get(job_id) for job_id, row in purged.items())
                expected = purged
            else:
                written = store.write(batch(step, ranges=()))
                assert written.applied + written.merged + sum(written.stale.values()) == len(step)
                expected = one_by_one(expected, step)
            assert table.read(database) == expected

    holds()
