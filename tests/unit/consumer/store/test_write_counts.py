"""The counts of a write add up to its events, whatever another writer did in between."""

from __future__ import annotations

from jobstatus_consumer.core.fold import Statement
from jobstatus_consumer.core.rule import RowState
from jobstatus_consumer.errors import BadRowError
from jobstatus_consumer.store.write_counts import WriteCounts
from law.events import LOG_A, NOON, event


def at(offset: int, attempt: int | None = None) -> RowState:
    return RowState(attempt, NOON + 50, LOG_A, offset)


def test_a_row_at_its_events_position_explains_nothing_and_the_rest_is_redelivered() -> None:
    tally = WriteCounts()
    events = [event("a", 5), event("b", 5), event("c", 5)]
    tally.explain(events, 2, {"a": at(5), "b": at(5), "c": at(9)})
    assert tally.stale == {"redelivered": 2}


def test_each_row_that_refused_gives_its_reason() -> None:
    tally = WriteCounts()
    events = [event("a", 5, attempt=0), event("b", 5, late=True), event("c", 5)]
    tally.explain(events, 3, {"a": at(4, attempt=1), "b": at(4), "c": at(6)})
    assert tally.stale == {"lower_attempt": 1, "late": 1, "redelivered": 1}


def test_a_row_that_was_applied_and_moved_on_in_between_is_not_counted_twice() -> None:
    tally = WriteCounts()
    events = [event("a", 5), event("b", 5)]
    tally.explain(events, 1, {"a": at(6), "b": at(7)})
    assert tally.stale == {"redelivered": 1}


def test_a_row_that_was_deleted_in_between_is_as_if_redelivered() -> None:
    tally = WriteCounts()
    tally.explain([event("a", 5)], 1, {})
    assert tally.stale == {"redelivered": 1}


def test_a_row_that_would_take_the_event_now_is_no_reason() -> None:
    """Somebody reset the row after the statement: why it was refused is not known any more."""
    tally = WriteCounts()
    tally.explain([event("a", 5)], 1, {"a": at(3)})
    assert tally.stale == {"redelivered": 1}


def test_merged_and_rejected_events_are_counted() -> None:
    tally = WriteCounts()
    events = [event(offset=offset) for offset in range(3)]
    tally.sent(Statement([events[2]], {"job-1": events[:2]}))
    tally.reject(event("b", 9), BadRowError("x", sqlstate="23514", error_class="CheckViolation", where="positive"))
    written = tally.written(1.5)
    assert (written.merged, written.statements, written.seconds) == (2, 1, 1.5)
    (rejected,) = written.rejected
    assert (rejected.reason, rejected.where) == ("check_violation", "positive")
    assert rejected.detail == "PostgreSQL cannot take the row: CheckViolation (23514), positive"
