"""What a write leaves in the table and in the progress, and what it says about it."""

from __future__ import annotations

import psycopg
import pytest
from jobstatus_consumer.errors import DatabaseAwayError, SettingsError
from jobstatus_consumer.records import Batch, LogRange
from jobstatus_consumer.store import Store, migrate
from law import table
from law.events import LOG_A, LOG_B, batch, event
from law.model import one_by_one
from psycopg.rows import TupleRow

Database = psycopg.Connection[TupleRow]


def span(start: int, end: int, log_id: str = LOG_A) -> LogRange:
    return LogRange("job-status", 0, log_id, start, end)


def test_a_batch_of_new_jobs_is_one_statement_with_every_value(store: Store, database: Database) -> None:
    events = [
        event("job-1", 0, attempt=3, status="error", error_message='broke: "a"\n\\ ü \t'),
        event("job-2", 1, time=7),
        event("ключ 'x'; --", 2),
    ]
    written = store.write(batch(events))
    assert (written.applied, written.merged, written.stale, written.rejected) == (3, 0, {}, ())
    assert written.statements == 1
    assert table.read(database) == one_by_one({}, events)


def test_several_events_of_a_job_are_one_row_of_the_statement(store: Store) -> None:
    written = store.write(batch([event(offset=offset, time=offset) for offset in range(5)]))
    assert (written.applied, written.merged, written.statements) == (1, 4, 1)


def test_what_cannot_merge_takes_a_statement_more(store: Store, database: Database) -> None:
    events = [event(offset=0, attempt=1), event(offset=1), event(offset=2, attempt=0), event("job-2", 3)]
    written = store.write(batch(events))
    assert written.statements == 3
    assert (written.applied, written.merged, written.stale) == (3, 0, {"lower_attempt": 1})
    assert table.read(database) == one_by_one({}, events)


def test_a_late_event_makes_no_other_event_of_its_batch_late(store: Store, database: Database) -> None:
    store.write(batch([event("a", 0, time=50), event("b", 1, time=50)], ranges=()))
    behind = [event("a", 2, time=20), event("b", 3, time=20, late=True)]
    written = store.write(batch(behind, ranges=()))
    assert (written.applied, written.stale, written.statements) == (1, {"late": 1}, 1)
    assert [table.read(database)[job_id].offset for job_id in ("a", "b")] == [2, 1]


def test_stale_events_are_counted_by_reason_and_leave_the_row_alone(store: Store, database: Database) -> None:
    rows = [event(job_id, 5, attempt=1, time=50) for job_id in ("again", "before", "late", "lower", "other")]
    store.write(batch(rows, ranges=()))
    before = [table.updated_at(database, item.job_id) for item in rows]
    stale = [
        rows[0],
        event("before", 4, attempt=9, time=99),
        event("late", 6, time=50, late=True),
        event("lower", 6, attempt=0, time=99),
        event("new", 6, time=0),
        event("other", 0, time=50, log_id=LOG_B),
    ]
    written = store.write(batch(stale, ranges=()))
    assert written.stale == {"redelivered": 2, "late": 1, "lower_attempt": 1, "other_log": 1}
    assert written.applied == 1
    assert [table.updated_at(database, item.job_id) for item in rows] == before


def test_updated_at_is_when_the_row_last_changed(store: Store, database: Database) -> None:
    store.write(batch([event(offset=0)]))
    first = table.updated_at(database, "job-1")
    store.write(batch([event(offset=1)]))
    assert table.updated_at(database, "job-1") > first


def test_the_progress_comes_with_the_rows_and_never_goes_back(store: Store) -> None:
    store.write(Batch([event(offset=3)], (), [span(0, 4), span(7, 9, LOG_B)]))
    assert store.progress([LOG_A, LOG_B, "unknown"]) == {LOG_A: 4, LOG_B: 9}
    store.write(Batch([event(offset=1)], (), [span(1, 2)]))
    assert store.progress([LOG_A]) == {LOG_A: 4}
    assert store.progress([]) == {}


def test_a_batch_without_a_row_has_its_progress_written_too(store: Store) -> None:
    written = store.write(Batch((), (), [span(0, 9)]))
    assert (written.applied, written.statements) == (0, 1)
    assert store.progress([LOG_A]) == {LOG_A: 9}


def test_the_progress_is_only_in_the_last_statement(store: Store, database: Database) -> None:
    """A statement that fails after the first leaves the first one's rows, and says nothing of offsets."""
    database.execute(
        "CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF new.attempt = 1 THEN RAISE SQLSTATE '53100'; END IF; RETURN new; END $$"
    )
    database.execute("CREATE TRIGGER away BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION away()")
    with pytest.raises(DatabaseAwayError):
        store.write(batch([event(offset=1), event(offset=2, attempt=1)]))
    assert table.read(database)["job-1"].offset == 1
    assert store.progress([LOG_A]) == {}


@pytest.mark.parametrize("forget", ["UPDATE jobs_progress SET next_offset = 4", "DELETE FROM jobs_progress"])
def test_a_database_that_forgot_is_noticed_by_the_write_itself(store: Store, database: Database, forget: str) -> None:
    store.write(Batch([event(offset=0)], (), [span(0, 10), span(0, 10, LOG_B)]))
    database.execute(forget)
    with pytest.raises(DatabaseAwayError, match=r"has forgotten: of job-status\[0\] .*, though offset 10 comes next"):
        store.write(Batch([event(offset=10)], (), [span(10, 20)]))
    assert not store.connected
    store.connect()
    known = store.progress([LOG_A]).get(LOG_A, 0)
    assert known in (0, 4)
    store.write(Batch([event(offset=10)], (), [span(known, 20)]))
    assert store.progress([LOG_A]) == {LOG_A: 20}


def test_a_log_may_begin_anywhere_where_the_database_has_nothing_of_it(store: Store) -> None:
    assert store.progress([LOG_A]) == {}
    store.write(Batch([event(offset=500)], (), [span(500, 510)]))
    assert store.progress([LOG_A]) == {LOG_A: 510}


def test_two_empty_batches_of_nothing_are_harmless(store: Store) -> None:
    assert store.write(Batch((), (), ())).applied == 0


@pytest.mark.parametrize("name", ["other.jobs", '"Jobs of ""me"""', "jobs2"])
def test_the_table_may_have_a_schema_and_any_name(url: str, name: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS other")
        connection.execute("DROP TABLE IF EXISTS other.jobs, other.jobs_progress")
    migrate(url, name)
    store = Store(url, name)
    store.connect()
    assert store.write(batch([event()])).applied == 1
    assert store.progress([LOG_A]) == {LOG_A: 1}
    store.close()


@pytest.mark.parametrize("name", ["", "a.b.c", ".jobs", "jobs.", 'a"b', "two words", "j" * 55, '""', "a\0"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="table name"):
        Store("postgresql://nowhere", name)


def test_the_session_is_what_the_writer_relies_on(store: Store, database: Database) -> None:
    found = database.execute(
        "SELECT bool_or(application_name = 'jobstatus') FROM pg_stat_activity WHERE datname = current_database()"
    ).fetchone()
    assert found == (True,)


@pytest.mark.parametrize(
    ("setting", "theirs", "ours"),
    [("synchronous_commit", "off", "on"), ("default_transaction_isolation", "serializable", "read committed")],
)
def test_the_session_keeps_what_the_writer_relies_on_whatever_the_url_prefers(
    url: str, database: Database, setting: str, theirs: str, ours: str
) -> None:
    store = Store(f"{url}%20-c{setting}%3D{theirs}", "jobs")
    store.connect()
    database.execute(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN new.status := current_setting('{setting}'); RETURN new; END $$".encode()
    )
    database.execute("CREATE TRIGGER note BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION note()")
    store.write(batch([event()]))
    store.close()
    assert table.read(database)["job-1"].status == ours
