"""The worked examples of docs/design.md, against the guard in a real table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from jobstatus_consumer.core.rule import RowState
from jobstatus_consumer.store import Store, migrate
from law.events import batch
from support.examples import rule_examples

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(micros: int | None) -> datetime | None:
    return None if micros is None else EPOCH + timedelta(microseconds=micros)


def test_every_example_ends_in_a_real_table_as_it_says(database_url: str) -> None:
    migrate(database_url, "jobs")
    store = Store(database_url, "jobs")
    with psycopg.connect(database_url, autocommit=True) as connection:
        for example in rule_examples():
            connection.execute("TRUNCATE jobs, jobs_progress")
            put(connection, example.before)
            store.connect()  # or the store would say, rightly, that its database has forgotten
            written = store.write(batch([example.event]))
            assert written.applied == (example.outcome == "applied"), example.clause
            assert dict(written.stale) == ({} if written.applied else {example.outcome: 1}), example.clause
            assert state(connection) == example.after, example.clause
    store.close()


def put(connection: psycopg.Connection[tuple[object, ...]], row: RowState | None) -> None:
    if row is not None:
        connection.execute(
            "INSERT INTO jobs (job_id, attempt, latest_occurred_at, log_id, log_offset)"
            " VALUES ('job-1', %s, %s, %s, %s)",
            (row.attempt, at(row.latest), row.log_id, row.log_offset),
        )


def state(connection: psycopg.Connection[tuple[object, ...]]) -> RowState:
    row = connection.execute("SELECT attempt, latest_occurred_at, log_id, log_offset FROM jobs").fetchone()
    if row is None:
        pytest.fail("no row")
    attempt, latest, log_id, log_offset = row
    assert isinstance(attempt, int | None)
    assert isinstance(latest, datetime)
    assert isinstance(log_id, str | None)
    assert isinstance(log_offset, int | None)
    return RowState(attempt, (latest - EPOCH) // timedelta(microseconds=1), log_id, log_offset)
