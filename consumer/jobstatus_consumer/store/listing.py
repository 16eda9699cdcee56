"""The list of jobs, a page at a time. Each page costs a bounded time, whatever the table's size and the filters."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from psycopg import sql

from jobstatus_consumer.store.connection import Limits, open_connection
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.session import Opener, Session

FILE: Final = "listing.sql"
LIMITS: Final = Limits(connect=2.0, statement=2.0, lock=1.0, deaf=5.0)
WINDOW: Final = 20_000
"""Rows that one statement searches where there are filters."""
FILTERS: Final = ("status", "worker", "text", "since", "until", "before", "last")
"""The blocks that are conditions."""
LETTERS: Final = 300
"""Characters of an error message in the list."""


class JobFilter(NamedTuple):
    """Which jobs are listed; None lets every job through. Times are in microseconds since 1970-01-01 UTC."""

    status: str | None = None
    worker: str | None = None
    text: str | None = None
    """a part of the error message, whatever its case"""
    since: int | None = None
    """the newest event is of this time or later"""
    until: int | None = None
    """the newest event is earlier than this"""

    @property
    def is_open(self) -> bool:
        """Whether every job passes."""
        return all(value is None for value in self)


class JobLine(NamedTuple):
    """One job of the list; `latest` is the time of its newest event in microseconds, None if it has no date."""

    job_id: str
    status: str | None
    attempt: int | None
    worker_id: str | None
    message: str | None
    latest: int | None


class JobPlace(NamedTuple):
    """Where a page begins: behind this job, and in the order of time also behind its newest event."""

    job_id: str = ""
    latest: int | None = None


class JobPage(NamedTuple):
    """The jobs of a page, and where the next one begins; None if nothing is left.

    `searched` is how many rows were searched for it, where filters made that more than the page has.
    """

    jobs: Sequence[JobLine]
    following: JobPlace | None
    searched: int | None = None


class JobList(Session):
    """The managed table, listed. Each method connects if there is no connection, and may block for `LIMITS`."""

    def __init__(
        self, url: str, table: str, *, opener: Opener = open_connection, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(url, LIMITS, opener=opener)
        self._name = self._place = TableName.parse(table)
        self._time = clock

    def prepare(self) -> None:
        """Find the table on a new connection."""
        self._place = self.located(self._name)

    def newest(self, wanted: JobFilter, after: JobPlace, rows: int) -> JobPage:
        """A page in the order of the newest events. Reads the whole table, or fails with DatabaseAwayError."""
        found = self._jobs("newest", wanted, rows + 1, before=after.latest, after=after.job_id)
        return _page(found, rows)

    def by_id(self, wanted: JobFilter, after: JobPlace, rows: int, seconds: float) -> JobPage:
        """A page in the order of the ids. With filters the table is searched for `seconds`, stretch by stretch."""
        if wanted.is_open:
            return _page(self._jobs("by_id", wanted, rows + 1, after=after.job_id), rows)
        found: list[JobLine] = []
        place, searched, deadline = after.job_id, 0, self._time() + seconds
        while True:
            last = self._window_end(place)
            found += self._jobs("by_id", wanted, rows + 1 - len(found), after=place, last=last)
            searched += WINDOW
            if len(found) > rows or last is None:
                return _page(found, rows)._replace(searched=searched if last is not None else None)
            place = last
            if self._time() > deadline:
                return JobPage(found, JobPlace(place), searched)

    def _window_end(self, after: str) -> str | None:
        rows = self.execute(block(FILE, "window_end", self._located()), {"after": after, "window": WINDOW})
        return str(rows[0][0]) if rows else None

    def _jobs(self, name: str, wanted: JobFilter, rows: int, **place: Any) -> list[JobLine]:
        """The jobs that pass the filters that are given; `place` has the names of further ones, and `after`."""
        table = self._located()
        given = {"after": "", **wanted._asdict(), **place, "rows": rows, "letters": LETTERS}
        active = [part for part in FILTERS if given.get(part) is not None]
        filters = [sql.SQL(" AND ") + block(FILE, part, table) for part in active]
        parts = {"columns": block(FILE, "columns", table), "filters": sql.Composed(filters)}
        return [JobLine(*row) for row in self.execute(block(FILE, name, table, parts=parts), given)]

    def _located(self) -> TableName:
        """The name as the session finds it. Only a connection knows it, so one is made where there is none."""
        if not self.connected:
            self.connect()
        return self._place


def _page(found: Sequence[JobLine], rows: int) -> JobPage:
    """The first `rows` of what was found; one more says that there is a next page."""
    jobs = found[:rows]
    last = jobs[-1] if len(found) > rows else None
    return JobPage(jobs, None if last is None else JobPlace(last.job_id, last.latest))
