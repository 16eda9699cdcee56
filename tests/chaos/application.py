"""An application that owns a jobs table, and uses it while the consumers write what they know of the jobs to it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from law.model import Row

from chaos.findings import DEADLOCK, TARGET_DIFFERS, TARGET_WAITING, Findings
from chaos.stage import session

TABLE: Final = """
CREATE TABLE app_jobs (
  id text PRIMARY KEY,
  state text NOT NULL DEFAULT 'new',
  error text,
  attempt integer,
  worker text,
  note integer NOT NULL DEFAULT 0,
  made_at timestamptz NOT NULL DEFAULT clock_timestamp()
)"""
TARGET: Final = """
table = "app_jobs"
missing = "wait"
where = "job.state <> 'cancelled'"
[key]
id = "event.job_id"
[set]
state = "CASE event.status WHEN 'processing' THEN 'running' ELSE event.status END"
error = "event.error_message"
attempt = "event.attempt"
worker = "event.worker_id"
"""
JOBS: Final = 400
"""The workers report on jobs of these numbers."""


class Shown(NamedTuple):
    """What the consumers write to a row."""

    state: str = "new"
    error: str | None = None
    attempt: int | None = None
    worker: str | None = None


NOTHING: Final = Shown()


class Application:
    """Makes, claims, changes, cancels and removes rows. One loop runs `step`."""

    def __init__(self, url: str, seed: int, findings: Findings) -> None:
        self._url = url
        self._chance = random.Random(f"application {seed}")
        self._findings = findings
        self._session: psycopg.Connection[Any] | None = None
        self.cancelled: dict[str, Shown] = {}
        """what a row showed when it was cancelled"""
        self.made_again: set[str] = set()
        """jobs whose row was removed once: a later row may have missed the last event"""
        self.doubtful: set[str] = set()
        """jobs whose row may have been cancelled or removed in a transaction whose end was not heard of"""

    def step(self) -> None:
        """Do one thing to some rows, in a transaction of its own. Without the database nothing is done."""
        chance = self._chance
        action = chance.choices(
            (self._make, self._note, self._claim, self._cancel, self._remove, self._alter), (40, 20, 30, 4, 4, 0.3)
        )[0]
        try:
            if self._session is None or self._session.closed:
                self._session = session(self._url)
            action(self._session)
        except psycopg.errors.DeadlockDetected as error:
            self._findings.add(DEADLOCK, time.monotonic(), f"{action.__name__}: {error}")
        except psycopg.OperationalError:
            self.close()
            time.sleep(0.2)

    def close(self) -> None:
        """End the session of `step`."""
        if self._session is not None:
            self._session.close()

    def _make(self, connection: psycopg.Connection[Any]) -> None:
        """Rows of jobs that have no state yet, and of jobs that have one."""
        guessed = [f"job-{self._chance.randrange(JOBS)}" for _ in range(3)]
        connection.execute("INSERT INTO app_jobs (id) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", [guessed])
        connection.execute(
            "INSERT INTO app_jobs (id) SELECT job_id FROM jobs AS t"
            " WHERE NOT EXISTS (SELECT FROM app_jobs AS a WHERE a.id = t.job_id)"
            " ORDER BY random() LIMIT 3 ON CONFLICT DO NOTHING"
        )

    def _some(self, connection: psycopg.Connection[Any], count: int) -> list[str]:
        rows = connection.execute("SELECT id FROM app_jobs ORDER BY random() LIMIT %s", [count]).fetchall()
        return [name for (name,) in rows]

    def _note(self, connection: psycopg.Connection[Any]) -> None:
        """A column of the application's own, in no order."""
        with connection.transaction():
            for name in self._some(connection, 5):
                connection.execute("UPDATE app_jobs SET note = note + 1 WHERE id = %s", [name])

    def _claim(self, connection: psycopg.Connection[Any]) -> None:
        """Rows stay locked for a while."""
        with connection.transaction():
            for name in self._some(connection, 3):
                connection.execute("SELECT FROM app_jobs WHERE id = %s FOR UPDATE SKIP LOCKED", [name])
            time.sleep(self._chance.uniform(0, 1))

    def _cancel(self, connection: psycopg.Connection[Any]) -> None:
        query = (
            "UPDATE app_jobs SET state = 'cancelled' WHERE id = %s AND state <> 'cancelled'"
            " RETURNING state, error, attempt, worker"
        )
        for name in self._some(connection, 1):
            was_doubtful = name in self.doubtful
            self.doubtful.add(name)
            for found in connection.execute(query, [name]).fetchall():
                self.cancelled[name] = Shown(*found)
            if not was_doubtful:
                self.doubtful.discard(name)

    def _remove(self, connection: psycopg.Connection[Any]) -> None:
        for name in self._some(connection, 1):
            self.made_again.add(name)
            self.doubtful.add(name)
            connection.execute("DELETE FROM app_jobs WHERE id = %s", [name])
            self.cancelled.pop(name, None)
            self.doubtful.discard(name)

    def _alter(self, connection: psycopg.Connection[Any]) -> None:
        """As a migration of the application's does."""
        with connection.transaction():
            connection.execute("LOCK TABLE app_jobs IN ACCESS EXCLUSIVE MODE")
            time.sleep(self._chance.uniform(0.2, 2))

    def settled(self) -> bool:
        """Whether no job waits whose row is there."""
        query = "SELECT EXISTS (SELECT FROM jobs_waiting AS w JOIN app_jobs AS a ON a.id = w.job_id)"
        with session(self._url) as connection:
            return connection.execute(query).fetchall() == [(False,)]

    def check(self, states: Mapping[str, Row]) -> None:
        """Hold the application's table and what waits against the model's `states`."""
        with session(self._url) as connection:
            rows = connection.execute("SELECT id, state, error, attempt, worker FROM app_jobs").fetchall()
            waiting = {name for (name,) in connection.execute("SELECT job_id FROM jobs_waiting").fetchall()}
        shown = {name: Shown(*values) for name, *values in rows}
        known = {name: found for name, found in shown.items() if name not in self.doubtful}
        check_rows(states, known, self.cancelled, self.made_again, self._findings)
        check_waiting(states, shown, waiting, self.made_again, self._findings)


def check_rows(
    states: Mapping[str, Row],
    shown: Mapping[str, Shown],
    cancelled: Mapping[str, Shown],
    made_again: Iterable[str],
    findings: Findings,
) -> None:
    """Every row shows its job's state, or what it showed when it was cancelled."""
    again = set(made_again)
    for name, found in shown.items():
        wanted = cancelled.get(name) if found.state == "cancelled" else projected(states.get(name))
        if found != wanted and not (name in again and found == NOTHING):
            findings.add(TARGET_DIFFERS, name, f"{name}: {found} is not {wanted}")


def check_waiting(
    states: Mapping[str, Row], shown: Mapping[str, Shown], waiting: set[str], removed: set[str], findings: Findings
) -> None:
    """Exactly the jobs without a row wait; one whose row was `removed` does so from its next event on."""
    for name in waiting ^ (states.keys() - shown.keys()):
        if name in removed and name not in waiting:
            continue
        why = "waits" if name in waiting else "does not wait"
        row = "a row" if name in shown else "no row"
        findings.add(TARGET_WAITING, name, f"{name} {why}, has {row}, and {'a' if name in states else 'no'} state")


def projected(state: Row | None) -> Shown:
    """What TARGET makes of a state."""
    if state is None:
        return NOTHING
    word = "running" if state.status == "processing" else state.status
    return Shown(str(word), state.error_message, state.attempt, state.worker_id)


def set_up(url: str, folder: Path) -> str:
    """Make the table, and return the path of the target file."""
    with session(url) as connection:
        connection.execute(TABLE.encode())
    path = folder / "target.toml"
    path.write_text(TARGET, encoding="utf-8")
    return str(path)
