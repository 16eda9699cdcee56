"""Folding: what merges, what waits for the next statement, and that no table could ever tell."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobstatus_consumer.core.fold import Statement, fold, merges
from jobstatus_consumer.records import Event
from law.events import LOG_A, LOG_B, NOON, event
from law.histories import History, cuts, first_reads, histories
from law.model import Row, Table, applied

TIMES = (0, 1, 2)
ATTEMPTS = (None, 0, 1)


def every_event(offset: int) -> Iterator[Event]:
    for attempt, time, late in itertools.product(ATTEMPTS, TIMES, (False, True)):
        yield event(offset=offset, attempt=attempt, time=time, late=late)


def every_row() -> list[Row | None]:
    """Each row that an event at offset 2 or 4 of log A, with the attempts and times above, could tell from another."""
    attempts = (None, 0, 1, 2)
    latest = [None, *(NOON + time for time in (-1, 0, 1, 2, 3))]
    positions = [(None, None), (LOG_B, 9), *((LOG_A, offset) for offset in (1, 2, 3, 4, 5))]
    return [
        None,
        *(
            Row("before", attempt=attempt, latest=time, log=log, offset=offset)
            for attempt, time, (log, offset) in itertools.product(attempts, latest, positions)
        ),
    ]


ROWS = every_row()


def no_row_can_tell(first: Event, second: Event) -> bool:
    return all(applied(applied(row, first), second) == applied(row, second) for row in ROWS)


def test_two_neighbours_merge_exactly_where_no_row_can_tell() -> None:
    wrong = [
        (first, second)
        for first, second in itertools.product(every_event(2), every_event(4))
        if merges(first, second) != no_row_can_tell(first, second)
    ]
    assert wrong == []


@pytest.mark.parametrize("offset", [3, 4])
def test_what_does_not_come_later_in_the_log_never_merges(offset: int) -> None:
    assert not any(merges(first, second) for first in every_event(4) for second in every_event(offset))


def test_events_of_two_logs_never_merge() -> None:
    others = [item._replace(log_id=LOG_B) for item in every_event(4)]
    assert not any(merges(first, second) for first in every_event(2) for second in others)


def test_nothing_folds_to_nothing() -> None:
    assert fold([]) == []


def test_different_jobs_are_one_statement_sorted_by_job() -> None:
    events = [event("c", 0), event("a", 1), event("b", 2)]
    assert fold(events) == [Statement([events[1], events[2], events[0]], {})]


def test_a_job_that_rises_in_attempt_and_time_is_one_row() -> None:
    events = [event(offset=0), event(offset=1, time=1), event(offset=2, time=1)]
    assert fold(events) == [Statement([events[2]], {"job-1": events[:2]})]


def test_what_cannot_merge_waits_for_the_next_statement() -> None:
    first, second, third = (event(offset=0, attempt=1), event(offset=1, attempt=0), event(offset=2, attempt=0))
    other = event("job-0", 3)
    assert fold([first, second, third, other]) == [
        Statement([other, first], {}),
        Statement([third], {"job-1": [second]}),
    ]


def run(table: Table, statement: Statement, history: History) -> None:
    """What a store does with a statement: a bad row alone is left out, and what was folded behind it goes again."""
    for item in statement.events:
        if history.is_bad(item):
            for again in fold(statement.merged.get(item.job_id, ())):
                run(table, again, history)
        elif (row := applied(table.get(item.job_id), item)) is not None:
            table[item.job_id] = row


@settings(max_examples=500)
@given(histories())
def test_the_law_any_batching_ends_as_one_by_one(history: History) -> None:
    table = dict(history.rows)
    for batch in history.deliveries:
        for statement in fold(batch):
            run(table, statement, history)
    assert table == history.expected


@settings(max_examples=300)
@given(first_reads(), st.data())
def test_a_crash_between_two_statements_of_a_batch_changes_nothing(
    events: Sequence[Event], data: st.DataObject
) -> None:
    """What was written stays, and the batch comes again whole, perhaps cut anew."""
    written = History({}, [events])
    table: Table = {}
    for batch in data.draw(cuts(events)):
        statements = fold(batch)
        for statement in statements[: data.draw(st.integers(0, len(statements)))]:
            run(table, statement, written)
        for again in data.draw(cuts(batch)):
            for statement in fold(again):
                run(table, statement, written)
    assert table == written.expected


@settings(max_examples=200)
@given(histories())
def test_every_event_is_in_exactly_one_statement_and_no_job_twice_in_one(history: History) -> None:
    for batch in history.deliveries:
        statements = fold(batch)
        found = [
            item
            for statement in statements
            for last in statement.events
            for item in (*statement.merged.get(last.job_id, ()), last)
        ]
        assert sorted(map(id, found)) == sorted(map(id, batch))
        for statement in statements:
            jobs = [item.job_id for item in statement.events]
            assert jobs == sorted(set(jobs))
            assert set(statement.merged) <= set(jobs)
