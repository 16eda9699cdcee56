"""The rule in Python agrees with the sequential model, and gives the reason that explains most."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobstatus_consumer.core.rule import RowState, Verdict, advance, decide
from jobstatus_consumer.records import Event
from law.events import LOG_A, LOG_B, NOON, event
from law.histories import History, deliveries, first_reads, histories
from law.model import Row, applied, changes, one_by_one


def state(row: Row | None) -> RowState | None:
    return None if row is None else RowState(row.attempt, row.latest, row.log, row.offset)


def at(
    offset: int | None = 5, *, attempt: int | None = None, latest: int | None = 50, log: str | None = LOG_A
) -> RowState:
    return RowState(attempt, None if latest is None else NOON + latest, log, offset)


@pytest.mark.parametrize(
    ("row", "item", "verdict"),
    [
        (None, event(), "applied"),
        (at(5), event(offset=6), "applied"),
        (at(5), event(offset=5, time=99), "redelivered"),
        (at(5), event(offset=4, attempt=9, time=99), "redelivered"),
        (at(5, attempt=2), event(offset=4, attempt=1), "redelivered"),
        (at(5, attempt=2), event(offset=6, attempt=1, time=99), "lower_attempt"),
        (at(5, attempt=2), event(offset=6, attempt=2), "applied"),
        (at(5, attempt=2), event(offset=6), "applied"),
        (at(5), event(offset=6, attempt=0), "applied"),
        (at(5), event(offset=6, late=True, time=50), "late"),
        (at(5), event(offset=6, late=True, time=51), "applied"),
        (at(5), event(offset=6, late=True, attempt=0), "applied"),
        (at(5, attempt=1), event(offset=6, late=True, attempt=1), "late"),
        (at(5, attempt=1), event(offset=6, late=True, attempt=2), "applied"),
        (at(5, log=LOG_B), event(offset=9, time=50), "other_log"),
        (at(9, log=LOG_B), event(offset=0, time=51), "applied"),
        (at(9, log=LOG_B, attempt=1), event(offset=0, attempt=2), "applied"),
        (at(9, log=LOG_B, attempt=1), event(offset=0, attempt=1), "other_log"),
        (at(9, log=LOG_B, attempt=1), event(offset=0, attempt=0, time=99), "lower_attempt"),
        (at(None, log=None), event(late=True), "applied"),
        (at(None, log=None, attempt=1), event(attempt=0), "lower_attempt"),
        (at(None, log=LOG_A), event(), "applied"),
        (at(9, log=None), event(), "applied"),
        (at(5, latest=None), event(offset=6, late=True), "applied"),
        (at(5, log=LOG_B, latest=None), event(offset=6), "applied"),
    ],
)
def test_each_clause_has_its_verdict(row: RowState | None, item: Event, verdict: Verdict) -> None:
    assert decide(row, item) == verdict


def test_a_row_that_somebody_else_wrote_lends_its_attempt_but_not_its_time() -> None:
    row = RowState(3, NOON + 90, None, None)
    assert advance(row, event(offset=7, time=1)) == RowState(3, NOON + 1, LOG_A, 7)


@settings(max_examples=500)
@given(histories())
def test_it_decides_and_advances_as_the_model_does(history: History) -> None:
    rows = dict(history.rows)
    for item in history.in_order:
        row = rows.get(item.job_id)
        after = applied(row, item)
        assert (decide(state(row), item) == "applied") == changes(row, item)
        assert advance(state(row), item) == state(after)
        if after is not None:
            rows[item.job_id] = after


@settings(max_examples=200)
@given(first_reads(["job-1"]), st.data())
def test_what_was_processed_before_changes_nothing_when_it_comes_again(
    events: Sequence[Event], data: st.DataObject
) -> None:
    table = one_by_one({}, events)
    again = data.draw(st.lists(st.sampled_from(events), max_size=8)) if events else []
    assert one_by_one(table, again) == table


@settings(max_examples=200)
@given(deliveries(["job-1"]), st.data())
def test_a_redriven_event_never_replaces_what_came_after_it_in_its_log(
    events: Sequence[Event], data: st.DataObject
) -> None:
    """The event was skipped as bad when its turn came, and is applied after everything else."""
    redriven = data.draw(st.sampled_from(events))
    kept = [item for item in events if (item.log_id, item.offset) != (redriven.log_id, redriven.offset)]
    before = one_by_one({}, kept).get("job-1")
    if before is not None and before.log == redriven.log_id and before.offset is not None:
        assert before.offset < redriven.offset or applied(before, redriven) == before
