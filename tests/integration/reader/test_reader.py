"""The reader on a real PostgreSQL: lookups, waits, one connection for all of them, and what goes wrong."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from jobstatus_consumer.store import Store, migrate
from jobstatus_consumer.store.layout import MANAGED
from jobstatus_reader import (
    COLUMNS,
    DatabaseUnavailableError,
    Job,
    JobStatusReader,
    NotReachedError,
    ReaderClosedError,
    ReaderSettingsError,
    ReaderSetupError,
    line,
)
from law.events import batch, event
from psycopg.rows import TupleRow
from support.pgbouncer import pgbouncer
from support.waiting import until

pytestmark = pytest.mark.postgres
ODD = [
    "a/b",
    "quote'\"",
    "tab\tnew\nline",
    "<script>alert(1)</script>",
    "\u202eright to left",
    "{a,b}",
    "%s",
    "x" * 512,
]


@pytest.fixture
def url(database_url: str) -> str:
    migrate(database_url, "jobs")
    return database_url


@pytest.fixture
def reader(url: str) -> Iterator[JobStatusReader]:
    with JobStatusReader(url) as found:
        yield found


@pytest.fixture
def session(url: str) -> Iterator[psycopg.Connection[TupleRow]]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def put(session: psycopg.Connection[TupleRow], job_id: str, status: str) -> None:
    session.execute(
        "INSERT INTO jobs (job_id, status) VALUES (%s, %s) ON CONFLICT (job_id) DO UPDATE SET status = excluded.status",
        (job_id, status),
    )


def connections(session: psycopg.Connection[TupleRow]) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
    (row,) = session.execute(query, ("jobstatus-reader",)).fetchall()
    return int(row[0])


def test_the_columns_are_those_of_the_layout() -> None:
    assert tuple(column.name for column in MANAGED.columns) == COLUMNS


def test_a_row_is_read_as_the_consumer_wrote_it(url: str, reader: JobStatusReader) -> None:
    with Store(url, "jobs") as store:
        store.connect()
        store.write(batch([event("job-1", 0, status="success", attempt=2)], ()))
    found = reader.job("job-1")
    assert found is not None
    assert (found.job_id, found.status, found.attempt, found.log_offset) == ("job-1", "success", 2, 0)
    assert isinstance(found.event_id, UUID)
    assert found.occurred_at is not None
    assert found.occurred_at.tzinfo is UTC
    assert found.updated_at is not None
    assert abs((datetime.now(UTC) - found.updated_at).total_seconds()) < 600
    assert set(found.as_dict()) == set(COLUMNS)
    assert str(found.as_dict()["occurred_at"]).endswith("Z")
    assert reader.job("job-2") is None


def test_settings_of_a_session_change_no_time(url: str, session: psycopg.Connection[TupleRow]) -> None:
    session.execute("INSERT INTO jobs (job_id, occurred_at) VALUES ('a', '2026-07-28 12:00:00.123456+00')")
    with JobStatusReader(f"{url}?options=-cDateStyle%3DSQL%20-cTimeZone%3DAsia/Tokyo") as odd:
        found = odd.job("a")
    assert found is not None
    assert found.occurred_at == datetime(2026, 7, 28, 12, 0, 0, 123456, UTC)


def test_a_time_that_no_datetime_can_hold_is_none(
    reader: JobStatusReader, session: psycopg.Connection[TupleRow]
) -> None:
    times = ["infinity", "-infinity", "20000-01-01", "4000-01-01 BC"]
    for time_ in times:
        session.execute("INSERT INTO jobs (job_id, occurred_at) VALUES (%s, %s::timestamptz)", (time_, time_))
    assert reader.jobs(times) == {time_: Job(time_, *[None] * 10) for time_ in times}


def test_many_jobs_are_read_by_id(reader: JobStatusReader, session: psycopg.Connection[TupleRow]) -> None:
    session.execute("INSERT INTO jobs (job_id, status) SELECT n::text, 'success' FROM generate_series(1, 12000) AS n")
    found = reader.jobs([*range(1, 12_001), "no such job", 7])
    assert len(found) == 12_000
    assert {job.status for job in found.values()} == {"success"}
    assert reader.jobs([]) == {}


def test_pages_of_a_status_have_every_job_once(reader: JobStatusReader, session: psycopg.Connection[TupleRow]) -> None:
    session.execute(
        "INSERT INTO jobs (job_id, status) SELECT 'Job-' || n, CASE WHEN n % 3 = 0 THEN 'error' ELSE 'success' END "
        "FROM generate_series(1, 1000) AS n"
    )
    for job_id in ODD:
        put(session, job_id, "error")
    expected = {f"Job-{number}" for number in range(3, 1001, 3)} | set(ODD)
    found = [job.job_id for job in reader.each_by_status("error", page=50)]
    assert len(found) == len(set(found))
    assert set(found) == expected
    first = reader.by_status("error", limit=10)
    second = reader.by_status("error", after=first[-1].job_id, limit=10)
    assert [job.job_id for job in first + second] == found[:20]
    assert reader.by_status("gone") == []


def test_an_odd_job_id_is_read_and_waited_for(reader: JobStatusReader, session: psycopg.Connection[TupleRow]) -> None:
    for job_id in ODD:
        put(session, job_id, "success")
        assert reader.await_status(job_id, "success").job_id == job_id
    assert reader.jobs(ODD).keys() == set(ODD)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda reader: reader.job(""), "job_id: empty"),
        (lambda reader: reader.job("a\0b"), "NUL"),
        (lambda reader: reader.job("x" * 513), "wanted 1 to 512"),
        (lambda reader: reader.job("\ud800"), "job_id"),
        (lambda reader: reader.job(None), "job_id: wanted str, int or UUID"),
        (lambda reader: reader.await_status("a", []), "until: wanted 1 to 100"),
        (lambda reader: reader.await_status("a", map(str, range(10_000))), "until: wanted 1 to 100"),
        (lambda reader: reader.await_status("a", [None]), "status: wanted str"),
        (lambda reader: reader.await_status("a", "x" * 65), "status"),
        (lambda reader: reader.await_status("a", "done", math.nan), "timeout: wanted 0 to 86,400"),
        (lambda reader: reader.await_status("a", "done", -1), "timeout: wanted 0 to 86,400"),
        (lambda reader: reader.await_status("a", "done", 1e9), "timeout: wanted 0 to 86,400"),
        (lambda reader: reader.await_status("a", "done", math.inf), "timeout: wanted 0 to 86,400"),
        (lambda reader: reader.await_status("a", "done", "5"), "timeout: wanted a number"),
        (lambda reader: reader.by_status("a", limit=0), "limit: wanted"),
        (lambda reader: reader.by_status("a", limit=True), "limit: wanted"),
    ],
)
def test_an_impossible_argument_is_refused_before_the_database_is_asked(call: Any, words: str) -> None:
    with (
        JobStatusReader("postgresql://127.0.0.1:1/none") as nowhere,
        pytest.raises((ValueError, TypeError), match=words),
    ):
        call(nowhere)


def test_with_known_statuses_another_one_is_refused(url: str) -> None:
    with (
        JobStatusReader(url, statuses=["success", "error"]) as known,
        pytest.raises(ValueError, match=r"not one of the allowed words \(error, success\)"),
    ):
        known.await_status("a", ["success", "sucess"])


def test_a_wait_ends_when_the_status_comes(reader: JobStatusReader, session: psycopg.Connection[TupleRow]) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.await_status, "new", ("success", "error"), 120)
        until(lambda: connections(session) == 1, "the reader is connected")
        put(session, "new", "processing")
        assert not waiting.done()
        put(session, "new", "error")
        assert waiting.result(60).status == "error"


def test_a_wait_that_is_over_says_what_the_job_is(
    reader: JobStatusReader, session: psycopg.Connection[TupleRow]
) -> None:
    with pytest.raises(NotReachedError, match="job 'a' was not error or success within 0 s: there is no row") as none:
        reader.await_status("a", ["success", "error"], 0)
    assert none.value.job is None
    assert isinstance(none.value, TimeoutError)
    put(session, "a", "processing")
    with pytest.raises(NotReachedError, match="its status is processing") as found:
        reader.await_status("a", "success", 0.3)
    assert found.value.job is not None
    assert found.value.job.status == "processing"
    put(session, "a", "success")
    assert reader.await_status("a", "success", 0).status == "success"


def test_a_thousand_waiters_cost_one_connection_and_lookups_go_on(
    reader: JobStatusReader, session: psycopg.Connection[TupleRow]
) -> None:
    async def all_of_them() -> list[Job]:
        waits = [reader.await_status_async(f"job-{number}", "success", 120) for number in range(1000)]
        tasks = [asyncio.ensure_future(item) for item in waits]
        while connections(session) == 0:
            await asyncio.sleep(0.05)
        counts = set()
        for _ in range(10):
            counts.add(connections(session))
            await asyncio.to_thread(reader.job, "job-1")
        assert counts == {1}
        session.execute(
            "INSERT INTO jobs (job_id, status) SELECT 'job-' || n, 'success' FROM generate_series(0, 999) n"
        )
        return await asyncio.gather(*tasks)

    found = asyncio.run(all_of_them())
    assert [job.job_id for job in found] == [f"job-{number}" for number in range(1000)]
    assert connections(session) == 1


def test_the_asyncio_form_raises_at_the_time_out_and_ends_with_its_task(reader: JobStatusReader) -> None:
    async def run() -> None:
        with pytest.raises(NotReachedError):
            await reader.await_status_async("a", "success", 0.1)
        task = asyncio.ensure_future(reader.await_status_async("a", "success", None))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert reader._waits._waiters == set()


def test_a_wait_survives_lost_connections(reader: JobStatusReader, session: psycopg.Connection[TupleRow]) -> None:
    put(session, "a", "processing")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.await_status, "a", "success", 120)
        for _ in range(3):
            # a connection that is lost before its first answer ends the wait
            until(lambda: reader._waits.answered and connections(session) == 1, "the reader is connected")
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'jobstatus-reader'"
            )
        put(session, "a", "success")
        assert waiting.result(60).status == "success"


def test_a_pooler_in_transaction_mode_may_stand_in_between(url: str, tmp_path: Path) -> None:
    with pgbouncer(url, tmp_path, "transaction", size=1) as pooled, JobStatusReader(pooled) as reader:
        for number in range(20):
            assert reader.job(number) is None
        with pytest.raises(NotReachedError):
            reader.await_status("a", "success", 0.3)
        assert not reader.by_status("success")
        with psycopg.connect(pooled, autocommit=True, prepare_threshold=None) as other:
            # what the reader has set is not left to the next client of the server's session
            assert other.execute("SHOW statement_timeout").fetchone() == ("0",)
            assert other.execute("SHOW transaction_read_only").fetchone() == ("off",)


def test_close_ends_a_wait_and_a_lookup_behind_a_lock(
    url: str, session: psycopg.Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    # longer than the calls may take to end, so that it is not this which ends them
    monkeypatch.setattr(line, "STATEMENT_SECONDS", 120.0)
    reader = JobStatusReader(url)
    with ThreadPoolExecutor(2) as pool, psycopg.connect(url) as other:
        other.execute("LOCK TABLE jobs")
        calls: list[Future[Any]] = [
            pool.submit(reader.await_status, "a", "success", 120),
            pool.submit(reader.job, "a"),
        ]
        blocked = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        until(lambda: session.execute(blocked).fetchall(), "the lookup waits for the lock")
        reader.close()
        for call in calls:
            assert isinstance(call.exception(30), ReaderClosedError)
        other.rollback()
    reader.close()
    with pytest.raises(ReaderClosedError):
        reader.job("a")
    with pytest.raises(ReaderClosedError):
        reader.await_status("a", "success")


def test_a_lookup_behind_a_lock_is_given_up_and_a_wait_goes_on(
    url: str, session: psycopg.Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "STATEMENT_SECONDS", 0.2)
    put(session, "a", "success")
    with JobStatusReader(url) as reader, psycopg.connect(url) as other, ThreadPoolExecutor(1) as pool:
        assert reader.job("a") is not None
        other.execute("LOCK TABLE jobs")
        with pytest.raises(DatabaseUnavailableError, match=r"57014"):
            reader.job("a")
        waiting = pool.submit(reader.await_status, "a", "success", 120)
        until(lambda: reader._waits.trouble, "a lookup of the wait is given up")
        with pytest.raises(NotReachedError, match=r"within 1 s: the database does not answer.*57014"):
            reader.await_status("b", "success", 1.0)
        other.rollback()
        assert waiting.result(60).status == "success"


def test_a_reader_writes_nothing_and_needs_select_alone(url: str, session: psycopg.Connection[TupleRow]) -> None:
    session.execute("CREATE ROLE only_reads LOGIN PASSWORD 'swordfish-7'")
    try:
        with JobStatusReader(f"{url}?user=only_reads&password=swordfish-7") as reader:
            with pytest.raises(ReaderSetupError, match=r"permission denied for table jobs.*jobstatus check"):
                reader.job("a")
            session.execute("GRANT SELECT ON jobs TO only_reads")
            assert reader.job("a") is None
            with pytest.raises(NotReachedError):
                reader.await_status("a", "success", 0)
    finally:
        session.execute("DROP OWNED BY only_reads")
        session.execute("DROP ROLE only_reads")


def test_what_is_missing_is_said_without_a_password(database_url: str) -> None:
    with JobStatusReader(database_url, "no_such") as reader:
        with pytest.raises(ReaderSetupError, match='relation "no_such" does not exist'):
            reader.job("a")
        with pytest.raises(ReaderSetupError, match='relation "no_such" does not exist'):
            reader.await_status("a", "success")
    wrong: list[tuple[str, type[Exception]]] = [
        ("postgresql://user:s3cret@127.0.0.1:1/none", DatabaseUnavailableError),
        ("postgresql://user:p@s3cret@127.0.0.1/none", ReaderSettingsError),
        ("postgresql://user:s3cret@host:port/none", ReaderSettingsError),
        ("mysql://user:s3cret@host", ReaderSettingsError),
    ]
    for url, kind in wrong:
        with JobStatusReader(url) as reader, pytest.raises(kind) as found:
            reader.await_status("a", "success", 60)
        assert "s3cret" not in str(found.value)


def test_the_environment_gives_what_a_consumer_has(url: str, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(url + "\n")
    environ = {
        "JOBSTATUS_DATABASE_URL_FILE": str(file),
        "JOBSTATUS_STATUSES": "success, error",
        "JOBSTATUS_TABLE": "jobs",
    }
    with JobStatusReader.from_env(environ) as reader:
        assert reader.job("a") is None
        with pytest.raises(ValueError, match="not one of the allowed words"):
            reader.await_status("a", "done")
        file.unlink()
        assert reader.job("a") is None
    both = {"JOBSTATUS_DATABASE_URL": url, "JOBSTATUS_DATABASE_URL_FILE": "x"}
    for wrong in ({}, both):
        with pytest.raises(ReaderSettingsError, match="JOBSTATUS_DATABASE_URL"):
            JobStatusReader.from_env(wrong)
    with pytest.raises(ReaderSettingsError, match=r"wanted name or schema\.name"):
        JobStatusReader(url, 'jobs"; DROP TABLE jobs')
    with JobStatusReader("file:/no/such/file") as lost, pytest.raises(DatabaseUnavailableError, match="/no/such/file"):
        lost.job("a")


def _child(reader: JobStatusReader, answers: Pipe) -> None:
    found = reader.job("a")
    waited = reader.await_status("a", "success", 60)
    answers.send((found and found.status, waited.status))
    reader.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_after_a_fork_has_a_connection_of_its_own(
    reader: JobStatusReader, session: psycopg.Connection[TupleRow]
) -> None:
    put(session, "a", "success")
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            reader.job("a")

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        fork = multiprocessing.get_context("fork")
        for _ in range(3):
            ours, theirs = fork.Pipe()
            child = fork.Process(target=_child, args=(reader, theirs))
            child.start()
            assert ours.poll(60), "the child answers"
            assert ours.recv() == ("success", "success")
            child.join(60)
            assert child.exitcode == 0
    finally:
        stop.set()
        asking.join()
    assert reader.job("a") is not None
    # the server ends a session a moment after its client has ended
    until(lambda: connections(session) == 1, "this process alone is connected")
