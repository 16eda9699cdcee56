"""The tables of one run: made, asked about, and removed. Nothing else of the database is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from jobstatus_demo.command import run_jobstatus
from jobstatus_demo.plan import Plan

CONNECT_SECONDS: Final = 15
STATEMENT_MILLISECONDS: Final = 30_000

NOTE: Final = """
CREATE UNLOGGED TABLE {notes} (source text, operation text, xid xid8, pid integer, since timestamptz);
CREATE FUNCTION {note}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO {notes} SELECT TG_TABLE_NAME, TG_OP, pg_current_xact_id(), pid, backend_start
  FROM pg_stat_get_activity(pg_backend_pid());
  RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON {before} FOR EACH STATEMENT EXECUTE FUNCTION {note}();
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {note}();
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON {progress} FOR EACH STATEMENT EXECUTE FUNCTION {note}();
"""
"""Triggers that note each statement with its transaction and its connection, so that other users of the server do not
count. They cost both parts the same for each transaction."""


class Noted(NamedTuple):
    """What the triggers noted of one part: transactions, connections that wrote, statements into the main table."""

    transactions: int
    connections: int
    statements: int


class Counters(NamedTuple):
    """The server's own counters: sessions of this database, and transaction ids given out."""

    sessions: int
    xids: int


class Tables:
    """One run's tables, through a connection of the demo's own. A statement may block for 30 s at most."""

    def __init__(self, plan: Plan, database_url: str, env: Mapping[str, str], *, is_alone: bool) -> None:
        """Connects at once; raises `psycopg.Error` if that fails.

        `env` is the environment that the demo's children get. `is_alone` means that nobody else uses the server, so
        that its own counters are about this run only.
        """
        self.plan = plan
        self.before = f"{plan.table}_before"
        self._url = database_url
        self._env = env
        self._is_alone = is_alone
        self._connection = self.connect()

    def connect(self) -> Connection[TupleRow]:
        """A new connection, under another name than the consumer's."""
        conninfo = make_conninfo(self._url, application_name="jobstatus-demo", connect_timeout=CONNECT_SECONDS)
        connection = psycopg.connect(conninfo, autocommit=True)
        connection.execute(f"SET statement_timeout = {STATEMENT_MILLISECONDS}")
        return connection

    def close(self) -> None:
        """End the demo's own connection."""
        self._connection.close()

    def make(self) -> None:
        """Run `jobstatus migrate`, and make the table of the first part; raises `DemoError` or `psycopg.Error`."""
        run_jobstatus(self._env, "migrate")
        self._run(
            "CREATE TABLE {before} (job_id text PRIMARY KEY, status text, error_message text, worker_id text,"
            " updated_at timestamptz) WITH (fillfactor = 70)"
        )
        with self._connection.cursor() as cursor, cursor.copy(self._sql("COPY {before} (job_id) FROM STDIN")) as copy:
            for job in self.plan.all_jobs:
                copy.write_row((job.job_id,))
        self._run(NOTE)

    def remove(self) -> None:
        """Remove everything that `make` made, as far as it exists."""
        self._run(
            "DROP TABLE IF EXISTS {before}, {table}, {progress}, {purged}, {audit}, {notes}; "
            "DROP FUNCTION IF EXISTS {note}()"
        )

    def written(self) -> int:
        """How many events the database has, by its own progress table."""
        return int(self._one("SELECT coalesce(sum(next_offset), 0) FROM {progress}"))

    def progress(self) -> dict[int, int]:
        """The next offset of each partition, as the database knows it."""
        rows = self._ask("SELECT log_id, next_offset FROM {progress}")
        return {int(log_id.split("/")[2]): offset for log_id, offset in rows}

    def consumer_connections(self) -> int:
        """How many connections the consumer has now."""
        return int(self._one("SELECT count(*) FROM pg_stat_activity WHERE application_name = {}", self.plan.name))

    def noted_before(self) -> Noted:
        """The transactions and connections of the first part."""
        return self._noted(self.before, "UPDATE", [self.before])

    def noted_after(self) -> Noted:
        """The transactions and connections of the second part."""
        return self._noted(self.plan.table, "INSERT", [self.plan.table, f"{self.plan.table}_progress"])

    def _noted(self, main: str, operation: str, sources: list[str]) -> Noted:
        ((transactions, connections, statements),) = self._ask(
            "SELECT count(DISTINCT xid), count(DISTINCT (pid, since)), count(*) FILTER (WHERE source = {}"
            " AND operation = {}) FROM {notes} WHERE source = ANY ({})",
            main,
            operation,
            sources,
        )
        return Noted(transactions, connections, statements)

    def counters(self) -> Counters:
        """What the server counts by itself, for all its users."""
        ((sessions, xid),) = self._ask(
            "SELECT sessions, pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
            " FROM pg_stat_database WHERE datname = current_database()"
        )
        return Counters(sessions, xid)

    def opened(self, start: Counters, end: Counters, noted: Noted) -> int:
        """How many connections were opened between two readings: the server's count if nobody else uses the server,
        else the connections that wrote."""
        return end.sessions - start.sessions if self._is_alone else noted.connections

    def query(self, text: str) -> list[TupleRow]:
        """The rows of a query in which {table} stands for the managed table."""
        return self._ask(text)

    def _sql(self, text: str, *values: object) -> sql.Composed:
        table = self.plan.table
        names = {
            "table": table,
            "progress": f"{table}_progress",
            "purged": f"{table}_purged",
            "audit": f"{table}_audit",
            "before": self.before,
            "notes": f"{table}_notes",
            "note": f"{table}_note",
        }
        identifiers = {key: sql.Identifier(name) for key, name in names.items()}
        return sql.SQL(text).format(*map(sql.Literal, values), **identifiers)

    def _run(self, text: str) -> None:
        self._connection.execute(self._sql(text), prepare=False)

    def _ask(self, text: str, *values: object) -> list[TupleRow]:
        return self._connection.execute(self._sql(text, *values)).fetchall()

    def _one(self, text: str, *values: object) -> Any:
        ((value,),) = self._ask(text, *values)
        return value
