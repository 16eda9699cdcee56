"""Faults by real means: what the store raises, whether the connection lives on, and that the next try succeeds."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from jobstatus_consumer.errors import (
    ConnectionStaleError,
    DatabaseAwayError,
    DeploymentError,
    StoreError,
)
from jobstatus_consumer.records import Batch
from jobstatus_consumer.store import Limits, Store, migrate
from jobstatus_consumer.store.sqlstate import classify
from jobstatus_local.postgres import LocalPostgres
from law import table
from law.events import LOG_A, batch, event
from psycopg.rows import TupleRow
from support.opened import Opened
from support.waiting import until

Database = psycopg.Connection[TupleRow]


def raising(database: Database, sqlstate: str) -> None:
    database.execute(
        "CREATE FUNCTION raising() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'secret %', new.job_id USING ERRCODE = '{sqlstate}'; END $$"
    )
    database.execute("CREATE TRIGGER raising BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION raising()")


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("40001", DatabaseAwayError),
        ("40P01", DatabaseAwayError),
        ("53100", DatabaseAwayError),
        ("53200", DatabaseAwayError),
        ("55P03", DatabaseAwayError),
        ("57014", DatabaseAwayError),
        ("58030", DatabaseAwayError),
        ("25006", DatabaseAwayError),
        ("08006", DatabaseAwayError),
        ("0A000", ConnectionStaleError),
        ("26000", ConnectionStaleError),
        ("42501", DeploymentError),
        ("42P01", DeploymentError),
        ("XX000", DeploymentError),
        ("ZZ999", DeploymentError),
    ],
)
def test_a_trigger_raises_a_chosen_sqlstate(
    store: Store, database: Database, sqlstate: str, kind: type[StoreError]
) -> None:
    raising(database, sqlstate)
    with pytest.raises(kind) as caught:
        store.write(batch([event()]))
    assert caught.value.sqlstate == sqlstate
    assert "secret" not in "".join(traceback.format_exception(caught.value))
    # a read-only session is left, because it stays what it is; every other one can go on
    assert store.connected == (sqlstate != "25006")
    database.execute("DROP TRIGGER raising ON jobs")
    if not store.connected:
        store.connect()
    assert store.write(batch([event()])).applied == 1


@pytest.mark.parametrize("sqlstate", ["22000", "23505", "44000", "54000", "P0001"])
def test_a_trigger_that_refuses_the_row_makes_it_a_bad_one(store: Store, database: Database, sqlstate: str) -> None:
    raising(database, sqlstate)
    (rejected,) = store.write(batch([event()])).rejected
    assert rejected.sqlstate == sqlstate
    assert "secret" not in rejected.detail


def test_what_the_server_says_of_a_value_is_not_passed_on(database: Database) -> None:
    with pytest.raises(psycopg.Error) as caught:
        database.execute("SELECT 'secret'::uuid")
    assert "secret" in str(caught.value)
    assert "secret" not in str(classify(caught.value))


def backend(database: Database) -> int:
    """The store's own backend: the one that last wrote, in this test's schema."""
    row = database.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'jobstatus' ORDER BY backend_start DESC LIMIT 1"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_terminated_backend_costs_the_connection_and_the_next_one_works(store: Store, database: Database) -> None:
    store.write(batch([event(offset=0)]))
    database.execute("SELECT pg_terminate_backend(%s, 5000)", (backend(database),))
    with pytest.raises(DatabaseAwayError):
        store.write(batch([event(offset=1)]))
    assert not store.connected
    with pytest.raises(DatabaseAwayError, match="not connected"):
        store.write(batch([event(offset=1)]))
    store.connect()
    assert store.write(batch([event(offset=1)])).applied == 1


def test_a_server_that_stops_and_starts_again(postgres_of_its_own: LocalPostgres) -> None:
    url = postgres_of_its_own.url
    migrate(url, "jobs")
    store = Store(url, "jobs")
    store.connect()
    store.write(batch([event(offset=0)]))
    postgres_of_its_own.kill()
    with pytest.raises(DatabaseAwayError):
        store.write(batch([event(offset=1)]))
    assert not store.connected
    with pytest.raises(DatabaseAwayError, match="refused"):
        store.connect()
    postgres_of_its_own.start()
    store.connect()
    assert store.progress([LOG_A]) == {LOG_A: 1}
    assert store.write(batch([event(offset=1)])).applied == 1
    store.close()


@pytest.fixture
def postgres_of_its_own() -> Iterator[LocalPostgres]:
    with LocalPostgres() as server:
        yield server


def test_a_database_that_became_read_only_is_waited_for(store: Store, opened: Opened) -> None:
    """As after a fail-over; the session's own setting stands for the server's."""
    store.write(batch([event(offset=0)]))
    opened.last.execute("SET default_transaction_read_only = on")
    with pytest.raises(DatabaseAwayError) as caught:
        store.write(batch([event(offset=1)]))
    assert caught.value.sqlstate == "25006"
    assert not store.connected, "the session keeps its default, and the writable server may be elsewhere"
    store.connect()
    assert store.write(batch([event(offset=1)])).applied == 1


@pytest.mark.parametrize(
    ("change", "sqlstate", "said"),
    [
        ("DROP TABLE jobs", "42P01", 'relation "jobs" does not exist'),
        ("DROP TABLE jobs_progress", "42P01", 'relation "jobs_progress" does not exist'),
        ("ALTER TABLE jobs DROP COLUMN worker_id", "42703", 'column "worker_id"'),
        ("ALTER TABLE jobs DROP CONSTRAINT jobs_pkey", "42P10", "no unique or exclusion constraint"),
    ],
)
def test_what_is_not_there_stops_with_its_name(
    store: Store, database: Database, change: str, sqlstate: str, said: str
) -> None:
    store.write(batch([event(offset=0)]))
    database.execute(change)
    with pytest.raises(DeploymentError, match=said) as caught:
        store.write(batch([event(offset=1)]))
    assert caught.value.sqlstate == sqlstate
    assert store.connected


def test_a_column_that_changes_under_the_prepared_statement_is_no_error(store: Store, database: Database) -> None:
    for offset in range(9):
        store.write(batch([event(offset=offset)]))
    database.execute("ALTER TABLE jobs ALTER status TYPE varchar(64), ADD COLUMN note text")
    assert store.write(batch([event(offset=9)])).applied == 1


def test_prepared_statements_that_vanished_are_a_stale_connection(store: Store, opened: Opened) -> None:
    """A pooler does this: it gives the store another client's session."""
    store.write(batch([event(offset=0)]))
    opened.last.pgconn.exec_(b"DEALLOCATE ALL")
    with pytest.raises(ConnectionStaleError) as caught:
        store.write(batch([event(offset=1)]))
    assert caught.value.sqlstate == "26000"
    store.connect()
    assert store.write(batch([event(offset=1)])).applied == 1


@contextmanager
def locked(url: str, statement: str) -> Iterator[None]:
    with psycopg.connect(url) as connection:
        connection.execute(statement)
        yield
        connection.rollback()


@pytest.mark.parametrize(
    ("limits", "sqlstate"),
    [(Limits(lock=0.2), "55P03"), (Limits(statement=0.2), "57014")],
)
def test_a_lock_of_somebody_else_is_waited_for_within_bounds(url: str, limits: Limits, sqlstate: str) -> None:
    store = Store(url, "jobs", limits=limits)
    store.connect()
    store.write(batch([event(offset=0)]))
    with (
        locked(url, "SELECT * FROM jobs FOR UPDATE"),
        pytest.raises(DatabaseAwayError) as caught,
    ):
        store.write(batch([event(offset=1)]))
    assert caught.value.sqlstate == sqlstate
    assert store.connected
    assert store.write(batch([event(offset=1)])).applied == 1
    store.close()


def test_another_thread_can_cancel_the_statement_that_runs(store: Store, url: str) -> None:
    store.write(batch([event(offset=0)]))
    with locked(url, "SELECT * FROM jobs FOR UPDATE"):
        caught: list[BaseException] = []

        def write() -> None:
            try:
                store.write(batch([event(offset=1)]))
            except DatabaseAwayError as error:
                caught.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        deadline = time.monotonic() + 60
        while thread.is_alive() and time.monotonic() < deadline:
            store.cancel()  # before the statement runs there is nothing to cancel
            thread.join(0.05)
        assert not thread.is_alive()
    (error,) = caught
    assert isinstance(error, DatabaseAwayError)
    assert error.sqlstate == "57014"
    assert store.connected


def test_another_thread_can_cut_a_connection_that_went_deaf(store: Store, database: Database) -> None:
    """The backend is frozen, so neither its own timeout nor a cancel can end the statement."""
    store.write(batch([event(offset=0)]))
    assert store.statement_age == 0
    pid = backend(database)
    caught: list[BaseException] = []

    def write() -> None:
        try:
            store.write(batch([event(offset=1)]))
        except DatabaseAwayError as error:
            caught.append(error)

    os.kill(pid, signal.SIGSTOP)
    try:
        thread = threading.Thread(target=write)
        began = time.monotonic()
        thread.start()
        until(lambda: store.statement_age >= 0.2, "the statement runs")
        assert store.statement_age < time.monotonic() - began
        store.cut()
        thread.join(60)
        assert not thread.is_alive()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert len(caught) == 1
    assert store.statement_age == 0
    assert not store.connected
    store.connect()
    store.write(batch([event(offset=1)]))  # perhaps the frozen one wrote it after all: it is the same row
    assert table.read(database)["job-1"].offset == 1


def test_a_server_that_accepts_and_never_answers_is_given_up(url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        store = Store(wrong(url, port=mute.getsockname()[1]), "jobs", limits=Limits(connect=2.0))
        started = time.monotonic()
        with pytest.raises(DatabaseAwayError, match="timeout"):
            store.connect()
        assert time.monotonic() - started < 20


def test_cut_is_harmless_at_any_time(url: str) -> None:
    store = Store(url, "jobs")
    store.cut()
    store.connect()
    store.cut()
    with pytest.raises(DatabaseAwayError):
        store.write(batch([event()]))
    assert not store.connected
    store.cut()


def test_cancel_and_close_are_harmless_at_any_time(url: str) -> None:
    store = Store(url, "jobs")
    store.cancel()
    store.close()
    store.connect()
    store.cancel()
    store.close()
    store.close()
    store.cancel()
    assert not store.connected


def wrong(url: str, **parts: str | int) -> str:
    return psycopg.conninfo.make_conninfo(url, **parts)


def test_what_cannot_be_connected_to_is_away_and_the_password_is_not_said(database_url: str) -> None:
    password = "swordfish-7"
    for url, said in [
        (wrong(database_url, password=password), "password authentication failed"),
        (wrong(database_url, dbname="nowhere"), 'database "nowhere" does not exist'),
        (wrong(database_url, port=1, password=password), "refused"),
        (wrong(database_url, host="no.such.host.invalid", password=password), "no.such.host.invalid"),
    ]:
        store = Store(url, "jobs")
        with pytest.raises(DatabaseAwayError, match=said) as caught:
            store.connect()
        assert password not in str(caught.value)
        assert not store.connected


def test_a_malformed_url_stops_and_the_password_is_not_said() -> None:
    with pytest.raises(DeploymentError, match="malformed") as caught:
        Store("postgresql://me:swordfish-7@host:port:x/db?nonsense=1", "jobs").connect()
    assert "swordfish" not in str(caught.value)


def test_two_writers_with_the_same_jobs_do_not_deadlock(url: str, database: Database) -> None:
    """Two consumers whose batches overlap, in opposite orders of the log, write until both are through."""
    names = [f"job-{number}" for number in range(40)]
    failures: list[BaseException] = []
    start = threading.Barrier(2)

    def write(jobs: list[str]) -> None:
        store = Store(url, "jobs")
        store.connect()
        try:
            start.wait(60)
            for turn in range(60):
                store.write(Batch([event(job_id, turn, time=turn) for job_id in jobs], (), ()))
        except BaseException as error:  # noqa: BLE001 - the test's own thread has to see it
            failures.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=write, args=(order,)) for order in (names, names[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert {row.offset for row in table.read(database).values()} == {59}
