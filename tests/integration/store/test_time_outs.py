"""Locks and slow triggers of others: a batch is split where that helps, and what it waits for is named."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from jobstatus_consumer.errors import DatabaseAwayError, LockedError
from jobstatus_consumer.store import Limits, Store, overview
from law import table
from law.events import LOG_A, batch, event
from psycopg.rows import TupleRow
from support.waiting import until

Database = psycopg.Connection[TupleRow]
EVENTS = [event(f"job-{number:02}", number) for number in range(20)]
WITHIN = 30.0


@contextmanager
def writer(url: str, **limits: float) -> Iterator[Store]:
    with Store(url, "jobs", limits=Limits(**limits)) as store:
        store.connect()
        yield store


@contextmanager
def other(url: str, statement: str) -> Iterator[int]:
    """Another session that has run the statement and not committed it; its pid."""
    with psycopg.connect(url, application_name="report") as connection:
        connection.execute(statement.encode())
        yield connection.info.backend_pid
        connection.rollback()


def refused(store: Store, kind: type[DatabaseAwayError] = LockedError) -> str:
    """The text of the error; `LockedError` says to the metrics that a lock is waited for."""
    with pytest.raises(DatabaseAwayError) as caught:
        store.write(batch(EVENTS))
    assert store.connected
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.mark.parametrize("sqlstate", ["55P03", "57014"])
def test_a_locked_row_is_named_with_the_session_that_has_it(url: str, sqlstate: str) -> None:
    limits = {"lock": 0.3} if sqlstate == "55P03" else {"statement": 1.0, "lock": 9.0}
    with writer(url, **limits) as store:
        store.write(batch(EVENTS[:10]))
        with other(url, "UPDATE jobs SET status = 'mine' WHERE job_id = 'job-07'") as pid:
            text = refused(store)
        assert sqlstate in text
        assert f"the row of job 'job-07' is locked by pid {pid} (report, query " in text
        assert re.search(r"transaction \d+ s old", text)
        assert store.write(batch(EVENTS)).applied == 10


def test_a_row_lock_that_two_sessions_share_names_one_of_them(url: str) -> None:
    share = "SELECT FROM jobs WHERE job_id = 'job-07' FOR SHARE"
    with writer(url, lock=0.3) as store:
        store.write(batch(EVENTS[:10]))
        with other(url, share) as first, other(url, share):
            assert f"the row of job 'job-07' is locked by pid {first} (report" in refused(store)


def test_a_locked_table_is_named_with_the_session_that_has_it(url: str) -> None:
    with writer(url, lock=0.3) as store, other(url, "LOCK TABLE jobs IN SHARE MODE") as pid:
        assert f"the whole table is locked by pid {pid} (report" in refused(store)


def test_a_row_that_another_session_inserts_is_found_and_named(url: str, database: Database) -> None:
    """Nobody else sees that row yet, so only a statement with its job waits for it."""
    with (
        writer(url, lock=0.3) as store,
        other(url, "INSERT INTO jobs (job_id) VALUES ('job-13')") as pid,
    ):
        text = refused(store)
    assert "the row of job 'job-13' (job-status[0] offset 13) alone takes too long" in text
    assert f"perhaps it waits for pid {pid} (report" in text
    assert len(table.read(database)) >= 13, "what is before it is written"


def test_a_locked_row_of_the_progress_is_named(url: str) -> None:
    with writer(url, lock=0.3) as store:
        store.write(batch(EVENTS[:2]))
        with other(url, "SELECT FROM jobs_progress FOR UPDATE") as pid:
            text = refused(store)
    assert "jobs_progress takes too long" in text
    assert f"pid {pid} (report" in text


def slow(database: Database, seconds: float, when: str = "true") -> None:
    database.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN IF {when} THEN PERFORM pg_sleep({seconds}); END IF; RETURN new; END $$".encode()
    )
    database.execute("CREATE TRIGGER slow BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION slow()")


def test_a_batch_that_always_takes_too_long_is_split(url: str, database: Database) -> None:
    slow(database, 0.15)
    with writer(url, statement=1.5) as store:
        written = store.write(batch(EVENTS))
        assert (written.applied, written.rejected) == (20, ())
        assert written.statements > 1
        assert store.progress([LOG_A]) == {LOG_A: 20}
        more = [event(f"more-{number:02}", 20 + number) for number in range(20)]
        again = store.write(batch(more))
        assert again.applied == 20
        assert again.seconds < written.seconds, "no statement was too long again"
        database.execute("DROP TRIGGER slow ON jobs")
        store.write(batch([event(offset=40)]))
        assert store.write(batch([event(f"last-{number:02}", 41 + number) for number in range(20)])).statements == 1


def test_a_single_row_that_takes_too_long_is_waited_for_and_named(url: str, database: Database) -> None:
    slow(database, 30, "new.job_id = 'job-03'")
    with writer(url, statement=0.5) as store:
        text = refused(store, DatabaseAwayError)
        assert "the row of job 'job-03' (job-status[0] offset 3) alone takes too long" in text
        assert store.progress([LOG_A]) == {}
        assert {"job-00", "job-01", "job-02"} <= table.read(database).keys()
        database.execute("DROP TRIGGER slow ON jobs")
        assert not store.write(batch(EVENTS)).rejected
        assert store.progress([LOG_A]) == {LOG_A: 20}


@pytest.mark.parametrize(
    "lock",
    ["UPDATE jobs SET status = 'mine' WHERE job_id = 'job-07'", "SELECT FROM jobs WHERE job_id = 'job-07' FOR UPDATE"],
)
def test_another_session_sees_what_a_writer_waits_for(url: str, lock: str) -> None:
    with writer(url, lock=9.0) as store:
        store.write(batch(EVENTS))
        with other(url, lock) as pid:
            thread = threading.Thread(target=store.write, args=(batch([event("job-07", 20)]),))
            thread.start()
            (found,) = until(lambda: overview(url, "jobs").blocked, "the writer waits", WITHIN)
            assert (found.pid, found.application, found.job_id) == (pid, "report", "job-07")
            assert found.query_seconds is not None
        thread.join(WITHIN)
        assert not thread.is_alive()
        assert overview(url, "jobs").blocked == []
