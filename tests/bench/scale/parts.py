"""What is measured: each part varies one thing, and the first of its cases is what the others are compared with."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import psycopg
from jobstatus_consumer.store import Target as TargetFile
from jobstatus_consumer.store import migrate

from ..own import APPLICATION, ROWS, STATE, target_file
from .backlogs import Backlog

CONSUMERS: Final = (1, 2, 4, 8)
TRIPS: Final = (0, 1, 5, 20)
"""In milliseconds; 0 is without the proxy that makes the distance."""
SMALL_BATCH: Final = 5
"""With larger ones eight consumers at 5 ms would need more than two cores."""
BATCHES: Final = (1, 10, 50, 200, 500)
WINDOWS: Final = (1, 2, 4)
HELD_OUT: Final = (
    (1, 25, 1, 2),
    (1, 100, 1, 3),
    (1, 25, 3, 10),
    (1, 100, 2, 10),
    (2, 100, 3, 10),
    (3, 10, 1, 3),
    (3, 5, 1, 2),
    (6, 5, 1, 3),
    (6, 5, 1, 10),
    (5, 20, 1, 10),
    (3, 20, 2, 10),
    (12, 5, 1, 30),
)
"""Consumers, the size of a batch, batches in flight, and the round trip in milliseconds."""
PARTITIONS: Final = (1, 10, 100, 1000)
MESSAGES: Final = (100, 1000, 10_000)
REPEATS: Final = (0.0, 0.5, 0.9)
ROWS_IN_TABLE: Final = (10_000, 1_000_000)
MANY_ROWS: Final = 50_000_000
MANY_ROWS_BYTES: Final = 30_000_000_000
"""What the table of `MANY_ROWS`, its key and its WAL need on the disk at most."""
INDEXES: Final = {
    0: (),
    2: ("status", "updated_at"),
    5: ("status", "updated_at", "worker_id", "occurred_at", "status, updated_at"),
}
FILLED: Final = """
INSERT INTO jobs (job_id, status, attempt, worker_id, occurred_at, event_id, updated_at)
SELECT
  'job-' || lpad(n::text, greatest(6, length(n::text)), '0'),
  'pending', 1, 'worker-01', now(), gen_random_uuid(), now()
FROM generate_series(%s::bigint, %s::bigint) AS n
"""
CHUNK: Final = 1_000_000

Prepare = Callable[[str], Any]


def nothing(_url: str) -> None:
    """Leave the fresh table as it is."""


class Case(NamedTuple):
    """One line of a part's table."""

    part: str
    label: str
    """what is varied, such as `10 ms`"""
    consumers: int = 1
    batch: int = 50
    window: int = 1
    trip_ms: int = 0
    backlog: Backlog = Backlog()
    prepare: Prepare = nothing
    own_table: bool = False

    @property
    def key(self) -> str:
        """The name of the case in the JSON document."""
        return f"{self.part}: {self.label}"


def consumers() -> Iterator[Case]:
    for trip, number in itertools.product(TRIPS, CONSUMERS):
        yield Case("consumers", f"{_trip(trip)}, {number}", number, SMALL_BATCH, trip_ms=trip)


def batch() -> Iterator[Case]:
    for trip, size in itertools.product((0, 5), BATCHES):
        yield Case("batch", f"{_trip(trip)}, {size}", batch=size, trip_ms=trip)


def window() -> Iterator[Case]:
    for trip, size in itertools.product(TRIPS, WINDOWS):
        yield Case("window", f"{_trip(trip)}, {size}", window=size, trip_ms=trip)


def held_out() -> Iterator[Case]:
    """Cases for the model alone, whose values no other part has, so that nothing can have been fitted to them."""
    for number, size, in_flight, trip in HELD_OUT:
        label = f"{_trip(trip)}, {number} x {size}, {in_flight} in flight"
        yield Case("held_out", label, number, size, in_flight, trip)


def partitions() -> Iterator[Case]:
    for number in PARTITIONS:
        yield Case("partitions", f"{number:,}", backlog=Backlog(number))


def rows() -> Iterator[Case]:
    for size in MESSAGES:
        events = 400_000 if size < MESSAGES[-1] else 100_000
        yield Case("rows", f"{size:,} B", backlog=Backlog(events=events, message_bytes=size))


def repeats() -> Iterator[Case]:
    for share in REPEATS:
        yield Case("repeats", f"{share:.0%}", backlog=Backlog(repeats=share))


def table(*, many: bool = False) -> Iterator[Case]:
    for size in (*ROWS_IN_TABLE, *([MANY_ROWS] if many else [])):
        yield Case("table", f"{size:,}", backlog=Backlog(jobs=size), prepare=_with_rows(size))


def indexes() -> Iterator[Case]:
    for number, columns in INDEXES.items():
        yield Case("indexes", str(number), prepare=_with_indexes(columns))


def own() -> Iterator[Case]:
    for name in ("managed", "own"):
        has_own = name == "own"
        yield Case("own", name, prepare=_own_table if has_own else nothing, own_table=has_own)


PARTS: Final[dict[str, Callable[..., Iterator[Case]]]] = {
    part.__name__: part for part in (consumers, batch, window, held_out, partitions, rows, repeats, table, indexes, own)
}
VARIES: Final = {
    "consumers": "round trip, consumers",
    "batch": "round trip, batch",
    "window": "round trip, in flight",
    "held_out": "round trip, consumers x batch",
    "partitions": "partitions",
    "rows": "error message",
    "repeats": "repeated jobs",
    "table": "rows in the table",
    "indexes": "more indexes",
    "own": "table",
}
"""The title of each part's first column."""


def _trip(trip_ms: int) -> str:
    return f"{trip_ms} ms"


def _with_rows(number: int) -> Prepare:
    def prepare(url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET synchronous_commit = off")
            for first in range(0, number, CHUNK):
                connection.execute(FILLED, (first, min(number, first + CHUNK) - 1))
            connection.execute("VACUUM ANALYZE jobs")
            connection.execute("CHECKPOINT")

    return prepare


def _with_indexes(columns: tuple[str, ...]) -> Prepare:
    def prepare(url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            for names in columns:
                connection.execute(f"CREATE INDEX ON jobs ({names})".encode())

    return prepare


def _own_table(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(APPLICATION)
        connection.execute(ROWS, (Backlog().jobs,))
        connection.execute("VACUUM ANALYZE app_jobs")
    with target_file() as path:
        migrate(url, STATE, target=TargetFile.read(path))
