"""A table of the application's own with a target file for it, a store that writes both, and the application itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from jobstatus_consumer.errors import ConnectionStaleError
from jobstatus_consumer.records import Event, Written
from jobstatus_consumer.store import Limits, ProjectingStore, Target, migrate
from jobstatus_consumer.store.connection import DEFAULT_LIMITS
from law.events import batch
from psycopg import sql
from psycopg.rows import TupleRow

STATE = "jobs_status"
JOBS = """
CREATE TYPE job_status AS ENUM ('new', 'running', 'done', 'failed', 'cancelled');
CREATE TABLE jobs (
  id bigint PRIMARY KEY,
  status job_status NOT NULL DEFAULT 'new',
  error_message varchar(200),
  started_at timestamptz,
  finished_at timestamptz,
  updated_at timestamptz NOT NULL DEFAULT 'epoch',
  payload text NOT NULL DEFAULT 'theirs'
)
"""
"""The table of an application; `TARGET` is its file."""
TARGET = """
table = "jobs"
where = "job.status <> 'cancelled'"
[key]
id = "event.job_id"
[set]
status = '''CASE event.status WHEN 'processing' THEN 'running' WHEN 'success' THEN 'done'
  WHEN 'error' THEN 'failed' ELSE event.status END'''
error_message = "event.error_message"
started_at = "coalesce(job.started_at, event.occurred_at)"
finished_at = "CASE WHEN event.status IN ('success', 'error') THEN event.occurred_at END"
updated_at = "now()"
"""


class OwnTable:
    """`application` is the session of the program that owns the table; the stores are consumers."""

    def __init__(self, url: str, folder: Path, ddl: str = JOBS, target: str = TARGET) -> None:
        self.url = url
        self.file = folder / "target.toml"
        self.file.write_text(target, "utf-8")
        self.application: psycopg.Connection[TupleRow] = psycopg.connect(url, autocommit=True)
        self.run(ddl)
        self.target = Target.read(str(self.file))
        migrate(url, STATE, target=self.target)
        self._stores: list[ProjectingStore] = []

    def store(self, limits: Limits = DEFAULT_LIMITS) -> ProjectingStore:
        """Another consumer's store, connected."""
        store = ProjectingStore(self.url, STATE, self.target, limits=limits)
        store.connect()
        self._stores.append(store)
        return store

    def run(self, text: str) -> list[TupleRow]:
        """What the application executes; the rows of its last statement."""
        cursor = self.application.execute(text.encode())
        return cursor.fetchall() if cursor.description else []

    def write(self, *events: Event, store: ProjectingStore | None = None) -> Written:
        """A batch, written as the consumer's thread does it: a stale connection is replaced once."""
        store = store or self.first
        try:
            return store.write(batch(events, ()))
        except ConnectionStaleError:
            store.connect()
            return store.write(batch(events, ()))

    @property
    def first(self) -> ProjectingStore:
        return self._stores[0] if self._stores else self.store()

    def settle(self, store: ProjectingStore | None = None) -> None:
        """Every waiting job is due, and the consumer tries them."""
        self.run(f"UPDATE {STATE}_waiting SET next_try = now()")
        (store or self.first).settle()

    def row(self, key: object = 17, table: str = "jobs", column: str = "id") -> dict[str, Any] | None:
        """The application's row as JSON."""
        query = sql.SQL("SELECT to_jsonb(job) FROM {} AS job WHERE {} = %s").format(
            sql.Identifier(*table.split(".")), sql.Identifier(column)
        )
        found = self.application.execute(query, (key,)).fetchone()
        return None if found is None else dict(found[0])

    def value(self, column: str, key: object = 17) -> Any:
        row = self.row(key)
        assert row is not None, f"there is no row {key}"
        return row[column]

    def waiting(self) -> dict[str, str]:
        """By waiting job: why it waits."""
        return {str(job): str(why) for job, why in self.run(f"SELECT job_id, reason FROM {STATE}_waiting")}

    def state(self, job_id: str) -> str | None:
        """The status in our own table."""
        found = self.application.execute(f"SELECT status FROM {STATE} WHERE job_id = %s".encode(), (job_id,)).fetchone()
        return None if found is None else str(found[0])

    @contextmanager
    def another(self) -> Iterator[psycopg.Connection[TupleRow]]:
        """Another session of the application, in a transaction that is rolled back at the end."""
        with psycopg.connect(self.url) as connection:
            yield connection
            connection.rollback()

    def close(self) -> None:
        for store in self._stores:
            store.close()
        self.application.close()
