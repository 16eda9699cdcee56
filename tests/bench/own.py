"""A table of the user's own beside the managed table, and beside the plain loop with the user's own UPDATE."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from jobstatus_consumer.store import Target as TargetFile
from jobstatus_consumer.store import migrate
from rich.table import Table

from .place import Measured, Place
from .tables import plain_table
from .targets import Target

SIZES = (50, 500)
CONTENDERS = {
    "managed": "jobstatus consume, managed table alone",
    "own": "jobstatus consume, managed table and own table",
    "plain": "plain loop: executemany of the own UPDATE",
}
MODULES = {"managed": "ours", "own": "ours", "plain": "plain_update"}
STATE = "own_status"
FILE = """
table = "app_jobs"
[key]
id = "event.job_id"
[set]
status = "event.status"
error_message = "event.error_message"
updated_at = "now()"
"""
APPLICATION = """
CREATE TABLE app_jobs (
  id text PRIMARY KEY, status text NOT NULL DEFAULT 'new', error_message text, payload jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz
) WITH (fillfactor = 70)
"""
ROWS = """
INSERT INTO app_jobs (id, payload)
SELECT 'job-' || lpad(number::text, 6, '0'), jsonb_build_object('input', repeat('x', 100))
FROM generate_series(0, %s - 1) AS number
"""
WAL = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
HOT = """
SELECT coalesce(sum(n_tup_upd), 0), coalesce(sum(n_tup_hot_upd), 0) FROM pg_stat_user_tables WHERE relname = 'app_jobs'
"""


class OwnRun(NamedTuple):
    """One run of a contender: its WAL, and the share of the HOT updates of the application's table."""

    measured: Measured
    wal_bytes: float
    hot_share: float | None

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.measured.run.events_per_second


@dataclass
class Own:
    """Every run by (contender, batch size), the rounds in order."""

    runs: dict[tuple[str, int], list[OwnRun]] = field(default_factory=dict)

    def median(self, contender: str, size: int, figure: Callable[[OwnRun], float]) -> float:
        return statistics.median(figure(item) for item in self.runs[contender, size])

    def rate(self, contender: str, size: int) -> float:
        return self.median(contender, size, lambda item: item.rate)

    def ratio(self, contender: str, size: int) -> float:
        """The own table's rate, as a share of the contender's in the same round: the median of the rounds."""
        pairs = zip(self.runs["own", size], self.runs[contender, size], strict=True)
        return statistics.median(own.rate / other.rate for own, other in pairs)


class _Watch:
    """Looks at the server before and after a run."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._before = 0
        self.wal = 0
        self.hot: float | None = None

    def prepare(self, url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(APPLICATION)
            connection.execute(ROWS, (self._jobs,))
            connection.execute("VACUUM ANALYZE app_jobs")
            self._before = _number(connection, WAL)

    def look(self, url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            self.wal = _number(connection, WAL) - self._before
            row = connection.execute(HOT).fetchone()
            updates, hot = row or (0, 0)
            self.hot = float(hot / updates) if updates else None


def _number(connection: psycopg.Connection[Any], query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0


@contextmanager
def target_file() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="own-table-") as folder:
        path = Path(folder) / "jobs.toml"
        path.write_text(FILE, encoding="utf-8")
        yield str(path)


def measure(place: Place, topic: str, events: int, jobs: int, rounds: int, say: Callable[[str], None]) -> Own:
    """Every contender at every size, in turn."""
    found = Own()
    with target_file() as path:
        for number in range(rounds):
            for size in SIZES:
                for contender in CONTENDERS:
                    run = _run(place, contender, topic, events, jobs, size, path)
                    found.runs.setdefault((contender, size), []).append(run)
                    say(f"  round {number + 1}: {contender} at {size}: {run.rate:,.0f} events/s")
    return found


def _run(place: Place, contender: str, topic: str, events: int, jobs: int, size: int, path: str) -> OwnRun:
    watch = _Watch(jobs)

    def prepare(url: str) -> None:
        if contender == "own":
            # our tables before the application's: the WAL of a run is that of its events
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(APPLICATION)
            migrate(url, STATE, target=TargetFile.read(path))
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("DROP TABLE app_jobs")
        watch.prepare(url)

    settings = {"JOBSTATUS_TARGET": path, "JOBSTATUS_TABLE": STATE} if contender == "own" else {}
    measured = place.run(MODULES[contender], topic, events, size, prepare, watch.look, settings)
    return OwnRun(measured, watch.wal / events, watch.hot)


def table(found: Own, events: int, jobs: int) -> Table:
    rounds = len(found.runs["own", SIZES[0]])
    shown = plain_table(
        f"own table: {events:,} events of {jobs:,} jobs, 4 partitions, a backlog; median of {rounds}",
        ["batch", "contender"],
        ["events/s", "own is", "CPU µs/event", "WAL bytes/event", "HOT"],
    )
    for contender, size in found.runs:
        hot = [item.hot_share for item in found.runs[contender, size] if item.hot_share is not None]
        shown.add_row(
            str(size),
            CONTENDERS[contender],
            f"{found.rate(contender, size):,.0f}",
            "" if contender == "own" else f"{found.ratio(contender, size):.2f} x",
            f"{found.median(contender, size, lambda item: item.measured.run.cpu_micros):.1f}",
            f"{found.median(contender, size, lambda item: item.wal_bytes):.0f}",
            f"{statistics.median(hot):.0%}" if hot else "",
        )
    return shown


def as_dict(found: Own) -> dict[str, Any]:
    return {
        f"{contender}_{size}": {
            "events_per_second": round(found.rate(contender, size)),
            "own_is": round(found.ratio(contender, size), 2),
            "wal_bytes_per_event": round(found.median(contender, size, lambda item: item.wal_bytes)),
            "rounds": [round(item.rate) for item in found.runs[contender, size]],
        }
        for contender, size in found.runs
    }


def targets(found: Own) -> list[Target]:
    ratio = found.ratio("managed", 50)
    return [Target("batch 50, own table, of the managed one", f"{ratio:.2f}", "0.55 or more", ratio >= 0.55)]
