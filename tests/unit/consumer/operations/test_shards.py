"""Exact answers in bounded memory: the table that a rebuild makes, and the rows that a plan counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jobstatus_consumer.core.rule import RowState
from jobstatus_consumer.operations import plan
from jobstatus_consumer.operations.rebuild import take
from jobstatus_consumer.operations.scope import ReadCounts, Scope
from jobstatus_consumer.operations.shards import Pass, passes
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import PurgedJob, Row
from law.histories import JOBS, histories, logs
from law.model import one_by_one, purge
from support.fake_table import model_row

SCOPE = Scope("job-status", [], {})


def keyed(events: Sequence[Event]) -> list[Event]:
    return [event._replace(raw=event.raw._replace(key=event.job_id.encode())) for event in events]


def chunks(events: Sequence[Event], size: int) -> Iterator[Sequence[Event]]:
    for start in range(0, len(events), size):
        yield events[start : start + size]


@given(st.lists(st.text(min_size=1, max_size=5), unique=True, max_size=60), st.integers(500, 20_000))
def test_every_job_is_in_exactly_one_pass(jobs: list[str], limit: int) -> None:
    seen: list[str] = []
    for found in passes(Pass[int], limit):
        for number, job in enumerate(jobs):
            if found.has(job.encode()):
                found.jobs[job] = number
            if number % 7 == 0:
                found.make_room()
        found.make_room()
        seen += found.jobs
    assert sorted(seen) == sorted(jobs)


def test_a_pass_never_holds_many_more_jobs_than_it_may() -> None:
    most = 0
    for found in passes(Pass[int], 100 * 500):
        for number in range(2_000):
            job = f"job-{number}"
            if found.has(job.encode()):
                found.jobs[job] = number
            most = max(most, len(found.jobs))
            found.make_room()
    assert most == 101


@given(logs("t/id/0"), st.integers(500, 2000), st.integers(1, 5))
def test_a_rebuild_is_what_the_sequential_model_makes(events: list[Event], limit: int, size: int) -> None:
    events = keyed(events)
    made = {}
    for found in passes(Pass[Any], limit):
        for chunk in chunks(events, size):
            take(chunk, found)
            found.make_room()
        made.update({job_id: model_row(Row.made(*made_of)) for job_id, made_of in found.jobs.items()})
    assert made == one_by_one({}, events)


class Rows:
    """The table of the dry run, as the model has it."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def states(self, jobs: Any) -> dict[str, RowState]:
        return {job_id: state for job_id, (state, purged) in self._found(jobs).items() if not purged}

    def purged(self, jobs: Any) -> dict[str, PurgedJob]:
        return {job_id: PurgedJob(state, 0.0) for job_id, (state, purged) in self._found(jobs).items() if purged}

    def _found(self, jobs: Any) -> dict[str, tuple[RowState, bool]]:
        found = {job_id: self._rows[job_id] for job_id in jobs if job_id in self._rows}
        return {
            job_id: (RowState(row.attempt, row.latest, row.log, row.offset), row.purged)
            for job_id, row in found.items()
        }


@settings(max_examples=100)
@given(histories(), st.sets(st.sampled_from(JOBS)), st.integers(500, 2000), st.integers(1, 5))
def test_a_plan_counts_the_rows_that_the_model_changes(history: Any, purged: set[str], limit: int, size: int) -> None:
    events, before = keyed(history.in_order), purge(history.rows, purged)
    counted = plan.ReplayPlan()
    for found in passes(Pass[Any], limit):
        for chunk in chunks(events, size):
            plan._take(chunk, found, Rows(before))
            found.make_room()
        plan._conclude(counted, found, ReadCounts(events=len(events)), SCOPE, existing_only=False)
    after = one_by_one(before, events)
    new = {
        job_id for job_id, row in after.items() if not row.purged and (job_id not in before or before[job_id].purged)
    }
    changed = {job_id for job_id, row in before.items() if not row.purged and after[job_id] != row}
    assert (counted.new_rows, counted.changed_rows) == (len(new), len(changed))
    assert counted.jobs == len({event.job_id for event in events})
