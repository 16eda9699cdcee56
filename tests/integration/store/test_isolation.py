"""A bad row is found and set aside; everything else of its batch lands in the same pass."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from jobstatus_consumer.errors import DatabaseAwayError, DeploymentError
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import Store
from law import table
from law.events import LOG_A, batch, event, saying
from psycopg.rows import TupleRow

Database = psycopg.Connection[TupleRow]
INCOMPRESSIBLE = "".join(chr(0x4E00 + number * 7 % 20000) for number in range(9000))


def raising(database: Database, sqlstate: str, when: str = "new.status = 'poison'", message: str = "no") -> None:
    """A trigger that raises a chosen SQLSTATE for some rows."""
    database.execute(
        "CREATE FUNCTION raising() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF {when} THEN RAISE EXCEPTION '{message} %', new.job_id USING ERRCODE = '{sqlstate}'; END IF;"
        " RETURN new; END $$"
    )
    database.execute("CREATE TRIGGER raising BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION raising()")


def jobs(count: int, bad: set[int], **poison: Any) -> list[Event]:
    events = [event(f"job-{number:03}", number, time=number) for number in range(count)]
    return [saying(item, **poison) if item.offset in bad else item for item in events]


@pytest.mark.parametrize(
    ("poison", "sqlstate", "reason", "where"),
    [
        ({"error_message": "a\0b"}, "22P05", "untranslatable_character", ""),
        ({"job_id": "a\0b"}, "22P05", "untranslatable_character", ""),
        ({"job_id": "a\ud800b"}, "", "unencodable", ""),
        ({"error_message": "a\ud800b"}, "", "unencodable", ""),
        ({"status": "poison"}, "23514", "check_violation", "no_poison"),
        ({"worker_id": "w" * 33}, "22001", "string_data_right_truncation", ""),
        ({"event_id": "not a uuid"}, "22P02", "invalid_text_representation", ""),
        ({"attempt": 2**31}, "22003", "numeric_value_out_of_range", ""),
        ({"attempt": 2**64}, "", "unencodable", ""),
        ({"occurred_at": 2**63 - 1}, "22008", "datetime_field_overflow", ""),
        ({"error_message": None}, "23502", "not_null_violation", "error_message"),
        ({"job_id": INCOMPRESSIBLE}, "54000", "program_limit_exceeded", ""),
    ],
)
def test_a_bad_row_is_named_and_the_others_land(
    store: Store, database: Database, poison: dict[str, Any], sqlstate: str, reason: str, where: str
) -> None:
    database.execute("ALTER TABLE jobs ADD CONSTRAINT no_poison CHECK (status <> 'poison')")
    database.execute("ALTER TABLE jobs ALTER worker_id TYPE varchar(32), ALTER error_message SET NOT NULL")
    events = [saying(item, error_message="fine") for item in jobs(50, set())]
    events[17] = saying(events[17], **poison)
    written = store.write(batch(events))
    assert written.applied == 49
    (rejected,) = written.rejected
    assert rejected.raw is events[17].raw
    assert (rejected.stage, rejected.reason, rejected.sqlstate, rejected.where) == ("write", reason, sqlstate, where)
    assert rejected.error_class
    assert len(table.read(database)) == 49
    assert store.progress([LOG_A]) == {LOG_A: 50}


def test_no_value_of_the_row_is_said(store: Store, database: Database) -> None:
    raising(database, "P0001", message="secret of")
    written = store.write(batch(jobs(3, {1}, status="poison")))
    (rejected,) = written.rejected
    assert rejected.detail == "PostgreSQL cannot take the row: RaiseException (P0001)"
    assert "job-001" not in "".join(rejected[1:])


@pytest.mark.parametrize("bad", [set(), {0}, {49}, {0, 1}, {10, 20, 30, 40}, set(range(49)), set(range(50))])
def test_any_number_of_bad_rows_is_isolated(store: Store, database: Database, bad: set[int]) -> None:
    events = jobs(50, bad, error_message="\0")
    written = store.write(batch(events))
    assert {item.raw.offset for item in written.rejected} == bad
    assert written.applied == 50 - len(bad)
    assert set(table.read(database)) == {item.job_id for item in events if item.offset not in bad}
    assert store.progress([LOG_A]) == {LOG_A: 50}


def test_a_good_event_folded_behind_a_bad_survivor_still_lands(store: Store, database: Database) -> None:
    events = [
        event(offset=0, time=0, status="pending"),
        event(offset=1, time=1, status="processing"),
        event(offset=2, time=2, error_message="\0"),
        event("job-2", 3),
    ]
    written = store.write(batch(events))
    assert [item.raw.offset for item in written.rejected] == [2]
    assert (written.applied, written.merged) == (2, 1)
    assert table.read(database)["job-1"].status == "processing"


def test_a_bad_event_that_was_superseded_in_its_own_batch_needs_no_dead_letter(
    store: Store, database: Database
) -> None:
    written = store.write(batch([event(offset=0, error_message="\0"), event(offset=1, status="success")]))
    assert (written.applied, written.merged, written.rejected) == (1, 1, ())
    assert table.read(database)["job-1"].status == "success"


def test_two_bad_survivors_in_a_row_give_way_to_the_good_one_before_them(store: Store, database: Database) -> None:
    events = [event(offset=offset, error_message="\0" if offset else None, status="pending") for offset in range(3)]
    written = store.write(batch(events))
    assert [item.raw.offset for item in written.rejected] == [2, 1]
    assert table.read(database)["job-1"].status == "pending"


def test_what_was_folded_behind_a_bad_one_lands_before_the_jobs_next_statement(
    store: Store, database: Database
) -> None:
    """Attempts that fall cannot merge: three rows of one job, in order, the middle one bad with a good one behind."""
    events = [
        event(offset=0, attempt=2, status="a"),
        event(offset=1, status="b"),
        event(offset=2, status="bad", error_message="\0"),
        event(offset=3, attempt=1, status="c"),
    ]
    written = store.write(batch(events))
    assert [item.raw.offset for item in written.rejected] == [2]
    assert written.stale == {"lower_attempt": 1}
    row = table.read(database)["job-1"]
    assert (row.status, row.attempt, row.offset) == ("b", 2, 1)


def test_the_first_away_error_ends_the_isolation_and_nothing_is_rejected(store: Store, database: Database) -> None:
    """Both halves are bad in their own way; the second one is somebody's full disk."""
    raising(database, "53100", when="new.job_id = 'job-040'")
    events = jobs(50, {3}, error_message="\0")
    with pytest.raises(DatabaseAwayError) as caught:
        store.write(batch(events))
    assert caught.value.sqlstate == "53100"
    assert store.progress([LOG_A]) == {}
    database.execute("DROP TRIGGER raising ON jobs")
    written = store.write(batch(events))
    assert [item.raw.offset for item in written.rejected] == [3]
    assert len(table.read(database)) == 49


def test_a_deployment_error_ends_the_isolation_too(store: Store, database: Database) -> None:
    raising(database, "42501", when="new.job_id = 'job-040'")
    with pytest.raises(DeploymentError):
        store.write(batch(jobs(50, {3}, error_message="\0")))
    assert store.progress([LOG_A]) == {}


def test_an_error_that_is_there_without_any_row_is_no_bad_row(store: Store, database: Database) -> None:
    """A progress table that refuses everything looks like a bad row, and halving would reject every event."""
    database.execute("ALTER TABLE jobs_progress ADD CONSTRAINT never CHECK (next_offset < 0)")
    with pytest.raises(DeploymentError) as caught:
        store.write(batch(jobs(4, set())))
    assert (caught.value.sqlstate, caught.value.where) == ("23514", "never")


@pytest.mark.parametrize(("count", "most"), [(1, 14), (5, 56)])
def test_few_bad_rows_of_fifty_cost_few_statements(store: Store, database: Database, count: int, most: int) -> None:
    database.execute("CREATE SEQUENCE sent")  # goes on counting when a statement is rolled back
    database.execute(
        "CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM nextval('sent'); RETURN NULL; END $$"
    )
    database.execute("CREATE TRIGGER count BEFORE INSERT ON jobs FOR EACH STATEMENT EXECUTE FUNCTION count_it()")
    bad = set(range(0, 50, 50 // count)[:count])
    store.write(batch(jobs(50, bad, error_message="\0")))
    assert database.execute("SELECT last_value <= %s FROM sent", (most,)).fetchone() == (True,)
