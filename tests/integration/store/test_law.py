"""The law against the real table: the guard in SQL, folding, isolation and the store together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import psycopg
from hypothesis import given, settings
from jobstatus_consumer.core.rule import RowState, decide
from jobstatus_consumer.records import Batch, Event
from jobstatus_consumer.store import Store
from law import table
from law.events import LOG_A, LOG_B, NOON, batch, event, saying
from law.histories import History, histories
from law.model import Row, Table, applied, one_by_one
from psycopg.rows import TupleRow

Database = psycopg.Connection[TupleRow]


def every_row() -> list[Row | None]:
    """Rows around an event at offset 4 of log A with time 1 and attempt 1 or none, one for each side of each clause."""
    attempts, latest = (None, 0, 1, 2), (None, *(NOON + time for time in (0, 1, 2)))
    positions = [(None, None), (LOG_A, None), (None, 9), *((log, at) for log in (LOG_A, LOG_B) for at in (3, 4, 5))]
    found = itertools.product(attempts, latest, positions)
    return [
        None,
        *(
            Row("before", "m", attempt, "w", NOON - 5, "00000000-0000-0000-0000-000000000001", time, log, offset)
            for attempt, time, (log, offset) in found
        ),
    ]


def test_the_guard_decides_as_the_model_on_either_side_of_every_clause(store: Store, database: Database) -> None:
    """One statement with a job for each row; written in one batch, and the counts of stale events by reason agree."""
    for attempt, late in itertools.product((None, 0, 1), (False, True)):
        rows = {f"job-{number:03}": row for number, row in enumerate(every_row())}
        before: Table = {job_id: row for job_id, row in rows.items() if row is not None}
        events = [event(job_id, 4, attempt=attempt, time=1, late=late) for job_id in rows]
        table.replace(database, before)

        written = store.write(batch(events, ranges=()))

        expected = one_by_one({}, []) | {
            item.job_id: row for item in events if (row := after(rows[item.job_id], item)) is not None
        }
        assert table.read(database) == expected
        reasons = [decide(state(rows[item.job_id]), item) for item in events]
        assert written.applied == reasons.count("applied")
        assert dict(written.stale) == {reason: reasons.count(reason) for reason in set(reasons) if reason != "applied"}


def after(row: Row | None, item: Event) -> Row | None:
    """The model knows rows without a position as those without a log; half a position is none."""
    if row is not None and (row.log is None or row.offset is None):
        known = Row(attempt=row.attempt, latest=row.latest)
        changed = applied(known, item)
        return row if changed is known else changed
    return applied(row, item)


def state(row: Row | None) -> RowState | None:
    return None if row is None else RowState(row.attempt, row.latest, row.log, row.offset)


def poisoned(history: History, events: Sequence[Event]) -> Batch:
    """The batch as it comes: what can never be written violates the test's CHECK, or holds a NUL."""
    return batch(
        [
            item
            if not history.is_bad(item)
            else saying(item, status="poison")
            if item.offset % 2
            else saying(item, error_message="\0")
            for item in events
        ],
        ranges=(),
    )


def test_any_history_ends_as_one_by_one(store: Store, database: Database) -> None:
    database.execute("ALTER TABLE jobs ADD CONSTRAINT no_poison CHECK (status <> 'poison')")

    @settings(max_examples=300)
    @given(histories())
    def holds(history: History) -> None:
        table.replace(database, history.rows)
        for events in history.deliveries:
            written = store.write(poisoned(history, events))
            assert written.applied + written.merged + sum(written.stale.values()) + len(written.rejected) == len(events)
            assert {(item.raw.log_id, item.raw.offset) for item in written.rejected} <= history.bad
            assert all(count > 0 for count in written.stale.values())
        assert table.read(database) == history.expected

    holds()
