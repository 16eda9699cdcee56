"""`migrate` on tables that an earlier version made, and what a program does that meets a later version's tables."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from jobstatus_consumer.errors import StartError
from jobstatus_consumer.store import Store, check, migrate, remarks
from jobstatus_consumer.store.blocking import oldest_reader
from jobstatus_consumer.store.mark import LAYOUT, Mark, mark_in, own_mark
from jobstatus_consumer.store.names import TableName
from jobstatus_local.ports import LOOPBACK
from jobstatus_local.postgres import LocalPostgres
from law.events import batch, event
from psycopg.rows import TupleRow
from support.forked import COMMAND, Command
from support.parts import started
from support.waiting import until

pytestmark = pytest.mark.postgres

Database = psycopg.Connection[TupleRow]
TABLES = Path(__file__).parents[2] / "fixtures" / "tables"
EARLIER = ("first", "0.1.0")
COLUMNS = (
    "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text,"
    " pg_get_expr(d.adbin, d.adrelid)"
    " FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    " LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum"
    " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND a.attname <> 'note' ORDER BY 1, 2"
)
OTHERS = (
    "SELECT c.relname, c.relkind::text, c.reloptions, obj_description(c.oid, 'pg_class'),"
    " (SELECT array_agg(pg_get_constraintdef(k.oid) ORDER BY k.conname) FROM pg_constraint AS k"
    "  WHERE k.conrelid = c.oid AND k.contype <> 'n')"
    " FROM pg_class AS c WHERE c.relnamespace = current_schema()::regnamespace AND c.relname LIKE 'jobs%'"
    " AND c.relname <> 'jobs_by_worker' ORDER BY 1"
)
OF_THE_USER = (
    "SELECT c.relname, c.relacl::text, pg_get_viewdef(c.oid) FROM pg_class AS c"
    " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'v')"
    " AND c.relname IN ('jobs', 'jobs_progress', 'open_jobs', 'how_far') ORDER BY 1"
)
ROWS = ("SELECT * FROM jobs", "SELECT log_id, next_offset, updated_at FROM jobs_progress", "SELECT * FROM open_jobs")


def asked(database: Database, text: str) -> list[tuple[Any, ...]]:
    return database.execute(text.encode()).fetchall()


def layout(database: Database) -> list[Any]:
    """The columns, types, constraints, options and comments of our tables. The order of the columns is not compared."""
    return [asked(database, COLUMNS), asked(database, OTHERS)]


def contents(database: Database) -> list[Any]:
    return [sorted(asked(database, text), key=repr) for text in ROWS]


@pytest.fixture
def older(empty_url: str) -> Iterator[Database]:
    """A connection to an empty schema, to make older tables in."""
    with psycopg.connect(empty_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def fresh(empty_url: str) -> list[Any]:
    """The layout of new tables."""
    migrate(empty_url, "jobs")
    with psycopg.connect(empty_url, autocommit=True) as connection:
        found = layout(connection)
        connection.execute("DROP TABLE jobs, jobs_progress, jobs_purged, jobs_audit")
    return found


def make(database: Database, version: str) -> None:
    for name in (version, "in_use"):
        database.execute((TABLES / f"{name}.sql").read_text("utf-8").encode())


@pytest.mark.parametrize("version", EARLIER)
def test_older_tables_become_as_new_ones_and_keep_all_that_is_in_them(
    empty_url: str, fresh: list[Any], older: Database, version: str
) -> None:
    make(older, version)
    before, users = contents(older), asked(older, OF_THE_USER)
    printed = migrate(empty_url, "jobs", dry_run=True)
    assert contents(older) == before
    assert migrate(empty_url, "jobs") == printed
    assert layout(older) == fresh
    assert (contents(older), asked(older, OF_THE_USER)) == (before, users)
    assert asked(older, "SELECT indexrelid::regclass::text FROM pg_index WHERE indpred IS NOT NULL") == [
        ("jobs_by_worker",)
    ]
    assert (migrate(empty_url, "jobs"), check(empty_url, "jobs"), remarks(empty_url, "jobs")) == ([], [], [])
    with Store(empty_url, "jobs") as store:
        store.connect()
        assert store.write(batch([event("a", 9), event("new", 10)])).applied >= 1


def test_a_long_query_on_an_older_table_ends_migrate_with_its_session_named(empty_url: str, older: Database) -> None:
    make(older, "first")
    before = layout(older)
    with psycopg.connect(empty_url, application_name="report") as report:
        report.execute("SELECT count(*) FROM jobs_progress")
        with pytest.raises(StartError) as caught:
            migrate(empty_url, "jobs", patience=2)
        said = str(caught.value)
        assert f"jobs: no lock in 2 s; the oldest transaction on it is of pid {report.info.backend_pid} (report" in said
        assert "Nothing was changed. Wait for that transaction, or end it; then: jobstatus migrate" in said
        assert layout(older) == before
        # a dry run waits for no lock, and takes none
        assert len(migrate(empty_url, "jobs", dry_run=True, patience=0)) == 4
    assert len(migrate(empty_url, "jobs")) == 4


def test_writes_go_on_while_migrate_waits_for_its_lock(empty_url: str, older: Database) -> None:
    make(older, "first")
    result: list[list[str]] = []
    with psycopg.connect(empty_url) as report:
        report.execute("SELECT count(*) FROM jobs_progress")
        thread = threading.Thread(target=lambda: result.append(migrate(empty_url, "jobs")))
        thread.start()
        waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'jobs_progress'::regclass"
        writes = 0
        older.execute("SET statement_timeout = '10s'")
        for _ in range(3):
            until(lambda: asked(older, waits), "migrate waits for its lock")
            # as a consumer that is running: its write waits behind migrate, for as long as one try takes
            older.execute("UPDATE jobs_progress SET next_offset = next_offset + 1 WHERE log_id = 'status/a1/0'")
            writes += 1
        assert (writes, result) == (3, [])
    thread.join(60)
    assert len(result[0]) == 4
    assert asked(older, "SELECT next_offset FROM jobs_progress WHERE log_id = 'status/a1/0'") == [(11,)]


SLOW_VACUUM = (
    b"ALTER TABLE jobs_progress SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,"
    b" autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)"
)


def test_migrate_ends_an_autovacuum_that_is_in_its_way() -> None:
    server = LocalPostgres(settings={"fsync": "off", "autovacuum": "on", "autovacuum_naptime": "1s"})
    with started("a real PostgreSQL", server), psycopg.connect(server.url, autocommit=True) as database:
        make(database, "first")
        database.execute("CREATE ROLE owner LOGIN PASSWORD 'owner'; ALTER TABLE jobs OWNER TO owner")
        database.execute("ALTER TABLE jobs_progress OWNER TO owner; GRANT CREATE ON SCHEMA public TO owner")
        database.execute(
            "INSERT INTO jobs_progress SELECT repeat('x', 900) || n, 0, now() FROM generate_series(1, 4000) AS n"
        )
        database.execute(SLOW_VACUUM)
        database.execute("UPDATE jobs_progress SET next_offset = 1 WHERE log_id LIKE 'x%'")
        vacuum = "SELECT pid FROM pg_stat_progress_vacuum WHERE relid = 'jobs_progress'::regclass"
        until(lambda: asked(database, vacuum), "an autovacuum works on the table", 60)
        ((pid,),) = asked(database, vacuum)
        url = urlsplit(server.url)._replace(netloc=f"owner:owner@{LOOPBACK}:{server.port}").geturl()
        with pytest.raises(StartError, match=rf"no lock in 0 s; .* of pid {pid} \(autovacuum, "):
            migrate(url, "jobs", patience=0)
        assert asked(database, vacuum) == [(pid,)], "half a second ends no autovacuum"
        assert migrate(url, "jobs")
        assert (pid,) not in asked(database, vacuum)


def test_a_reader_of_a_table_beside_the_managed_one_is_named_too(empty_url: str, older: Database) -> None:
    make(older, "0.1.0")
    place = TableName.parse("jobs")
    for table in ("jobs", "jobs_progress", "jobs_purged", "jobs_audit"):
        with psycopg.connect(empty_url, application_name="report") as report:
            report.execute(f"SELECT count(*) FROM {table}".encode())
            found = oldest_reader(older, place)
            assert found is not None
            assert (found.pid, found.application) == (report.info.backend_pid, "report"), table


def test_a_migrate_that_is_killed_in_the_middle_has_changed_nothing(
    empty_url: str, fresh: list[Any], older: Database
) -> None:
    make(older, "first")
    before = layout(older), contents(older)
    with psycopg.connect(empty_url) as other:
        # the last table of migrate cannot be made while another session is making one of this name
        other.execute("CREATE TABLE jobs_audit (id integer)")
        environ = {**os.environ, "JOBSTATUS_DATABASE_URL": empty_url, "JOBSTATUS_TABLE": "jobs"}
        process = Command[bytes]([COMMAND, "migrate"], env=environ)
        middle = (
            "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE TABLE \"jobs_audit\"%' AND state = 'active'"
            " AND datname = current_database()"
        )
        until(lambda: asked(older, middle), "migrate is at its last table")
        process.kill()
        process.wait(30)
        other.rollback()
    until(lambda: not asked(older, middle), "the session of the killed migrate has ended")
    assert (layout(older), contents(older)) == before
    assert len(migrate(empty_url, "jobs")) == 4
    assert layout(older) == fresh


@pytest.fixture
def marked(url: str) -> Iterator[Database]:
    """A connection to fresh tables."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def mark(database: Database, text: str) -> None:
    database.execute(f"COMMENT ON TABLE jobs_progress IS '{text}'".encode())


def test_tables_of_a_later_version_that_only_has_more_serve_this_program(url: str, marked: Database) -> None:
    later = Mark("7.8.9", LAYOUT + 1, LAYOUT)
    marked.execute("ALTER TABLE jobs ADD queue text; ALTER TABLE jobs_purged ADD queue text")
    mark(marked, str(later))
    assert (migrate(url, "jobs"), check(url, "jobs")) == ([], [])
    assert asked(marked, "SELECT obj_description('jobs_progress'::regclass)") == [(str(later),)]
    (remark,) = remarks(url, "jobs")
    assert remark.what == f"the tables are of jobstatus 7.8.9, and this is {own_mark().version}"
    with Store(url, "jobs") as store:
        store.connect()
        assert store.write(batch([event()])).applied == 1


def test_tables_of_a_later_version_that_changed_more_are_refused_with_both_versions(url: str, marked: Database) -> None:
    mark(marked, str(Mark("7.8.9", LAYOUT + 2, LAYOUT + 1)))
    marked.execute("ALTER TABLE jobs RENAME COLUMN status TO state")
    (problem,) = check(url, "jobs")
    assert check(url, "jobs", to_write=False) == [problem]
    assert problem.what == (
        f"the tables are of jobstatus 7.8.9 (layout {LAYOUT + 2}), which serve programs of layout {LAYOUT + 1} or "
        f"later; this is jobstatus {own_mark().version} (layout {LAYOUT})"
    )
    assert problem.remedy == "install jobstatus 7.8.9 or newer here"
    with pytest.raises(StartError, match=r"jobstatus 7\.8\.9 .*this is jobstatus .*Nothing was changed"):
        migrate(url, "jobs")


def test_a_comment_of_the_users_own_stays(url: str, marked: Database) -> None:
    mark(marked, "ask ada")
    assert (migrate(url, "jobs"), check(url, "jobs")) == ([], [])
    assert asked(marked, "SELECT obj_description('jobs_progress'::regclass)") == [("ask ada",)]
    assert mark_in("ask ada") is None
    assert mark_in(str(own_mark())) == own_mark()
