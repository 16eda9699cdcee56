"""The reader: jobs by id and by status, and waiting until a job has a status."""

from __future__ import annotations

import asyncio
import math
import os
import re
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final
from uuid import UUID

from jobstatus_schemas.database_url import FILE_SCHEME, TABLE_NAME, TABLE_WORDS
from jobstatus_schemas.event import check_job_id, check_status
from psycopg import sql

from jobstatus_reader.errors import NotReachedError, ReaderSettingsError
from jobstatus_reader.job import JOB_ID, Job, Row, selected
from jobstatus_reader.line import Line
from jobstatus_reader.waiting import Waiter, Waits

JobId = str | int | UUID

AT_ONCE: Final = 5_000
"""Jobs in one lookup."""
LARGEST_PAGE: Final = 10_000
MOST_STATUSES: Final = 100
LONGEST_WAIT: Final = 86_400.0
"""Seconds: a day."""
_OF_JOBS: Final = "SELECT {columns} FROM {table} AS t WHERE t.job_id = ANY(%(jobs)s::text[])"
_OF_STATUS: Final = (
    "SELECT {columns} FROM {table} AS t WHERE t.status = %(status)s AND t.job_id > %(after)s"
    " ORDER BY t.job_id LIMIT %(limit)s"
)


class JobStatusReader:
    """Reads the managed table. One connection, made when it is first needed and made again after it was lost.

    Threads and asyncio tasks may share a reader, and a child after a fork may use its parent's. Close it at the end,
    or use it as a context manager. It only reads: its role needs SELECT on the table and nothing else.
    """

    def __init__(self, conninfo: str, table: str = "jobs", *, statuses: Collection[str] | None = None) -> None:
        """Connects to nothing yet. `conninfo` is a URL, or `file:` with the path of a file that has the URL.

        With `statuses` a wait for any other status is refused. Raises `ReaderSettingsError` for a wrong table name.
        """
        if not re.fullmatch(TABLE_NAME, table):
            raise ReaderSettingsError(f"the table {table!r}: wanted {TABLE_WORDS}")
        self._statuses = None if statuses is None else frozenset(statuses)
        names = {"columns": sql.SQL(selected()), "table": sql.Identifier(*table.split("."))}
        self._of_jobs, self._of_status = sql.SQL(_OF_JOBS).format(**names), sql.SQL(_OF_STATUS).format(**names)
        self._line = Line(conninfo)
        self._waits = Waits(self._look)
        _READERS.add(self)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> JobStatusReader:
        """A reader with the consumer's variables, which `docs/settings.md` explains.

        They are JOBSTATUS_DATABASE_URL or JOBSTATUS_DATABASE_URL_FILE, JOBSTATUS_TABLE and JOBSTATUS_STATUSES. Raises
        `ReaderSettingsError`.
        """
        url, file = environ.get("JOBSTATUS_DATABASE_URL", ""), environ.get("JOBSTATUS_DATABASE_URL_FILE", "")
        if url and file:
            raise ReaderSettingsError(
                "JOBSTATUS_DATABASE_URL and JOBSTATUS_DATABASE_URL_FILE are both set; set one of them"
            )
        if not url and not file:
            raise ReaderSettingsError(
                "JOBSTATUS_DATABASE_URL is not set; give postgresql://user:password@host:port/database"
            )
        words = [word.strip() for word in environ.get("JOBSTATUS_STATUSES", "").split(",") if word.strip()]
        return cls(url or FILE_SCHEME + file, environ.get("JOBSTATUS_TABLE") or "jobs", statuses=words or None)

    def job(self, job_id: JobId) -> Job | None:
        """The job's row; None if it has none. Blocks for the answer.

        This and every other lookup raises `ValueError` or `TypeError` for an impossible argument, and `ReaderError`.
        """
        text = check_job_id(job_id)
        return self._jobs([text]).get(text)

    def jobs(self, job_ids: Iterable[JobId]) -> dict[str, Job]:
        """By job id, the rows of these jobs; a job without a row is left out. Blocks for the answer.

        Many jobs are looked up in several statements, so their rows need not be of one moment.
        """
        found: dict[str, Job] = {}
        wanted = iter(dict.fromkeys(map(check_job_id, job_ids)))
        while some := list(islice(wanted, AT_ONCE)):
            found.update(self._jobs(some))
        return found

    def by_status(self, status: str, *, after: JobId | None = None, limit: int = 100) -> list[Job]:
        """A page of the jobs that have this status, in the order of their ids. Blocks for the answer.

        The next page begins `after` the last job id of this one. No column but job_id has an index: a page reads the
        table from `after` on until it is full, so a page of a rare status reads all that is left of the table.
        """
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LARGEST_PAGE:
            raise ValueError(f"limit: wanted a whole number from 1 to {LARGEST_PAGE}")
        begin = "" if after is None else check_job_id(after)
        given = {"status": check_status(status, self._statuses), "after": begin, "limit": limit}
        return [Job.of_row(row) for row in self._line.fetch(self._of_status, given)]

    def each_by_status(self, status: str, *, page: int = 1000) -> Iterator[Job]:
        """All jobs that have this status, in the order of their ids, page by page.

        A job that gets or leaves the status meanwhile may be among them or not.
        """
        jobs = self.by_status(status, limit=page)
        while jobs:
            yield from jobs
            jobs = self.by_status(status, after=jobs[-1].job_id, limit=page) if len(jobs) == page else []

    def await_status(self, job_id: JobId, until: str | Iterable[str], timeout: float | None = 60.0) -> Job:
        """The job as soon as its status is one of `until`; at once if it is already. Blocks for `timeout` seconds.

        A job that has no row yet is waited for. `timeout` is from 0 to 86,400 s; None means no limit. Raises
        `NotReachedError` at the time-out. While a database that has answered before is unreachable the wait goes on;
        one that has never answered raises `DatabaseUnavailableError` at once.
        """
        text, words, seconds = check_job_id(job_id), check_until(until, self._statuses), check_timeout(timeout)
        waiter = self._waits.add(text, words)
        try:
            return waiter.future.result(seconds)
        except TimeoutError:
            return self._last_look(waiter, seconds)
        finally:
            self._waits.remove(waiter)

    async def await_status_async(self, job_id: JobId, until: str | Iterable[str], timeout: float | None = 60.0) -> Job:
        """As `await_status`, for asyncio: it never blocks the event loop, and a cancelled task ends its wait."""
        text, words, seconds = check_job_id(job_id), check_until(until, self._statuses), check_timeout(timeout)
        waiter = self._waits.add(text, words)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(waiter.future), seconds)
        except TimeoutError:
            return await asyncio.to_thread(self._last_look, waiter, seconds)
        finally:
            self._waits.remove(waiter)

    def close(self) -> None:
        """End the connection and every wait, which then raises `ReaderClosedError`. May block for some seconds."""
        self._line.close()
        self._waits.close()
        _READERS.discard(self)

    def __enter__(self) -> JobStatusReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _jobs(self, jobs: list[str]) -> dict[str, Job]:
        return {job_id: Job.of_row(row) for job_id, row in self._look(jobs).items()}

    def _look(self, jobs: Iterable[str]) -> dict[str, Row]:
        found = self._line.fetch(self._of_jobs, {"jobs": list(jobs)})
        self._waits.answered = True
        return {row[JOB_ID]: row for row in found}

    def _last_look(self, waiter: Waiter, seconds: float | None) -> Job:
        """What a wait ends with at its time-out. One that was too short for any lookup gets one."""
        trouble = self._waits.trouble
        if not waiter.looks and not trouble:
            waiter.take(self._look([waiter.job_id]).get(waiter.job_id), 0.0)
        job = waiter.last
        if job is not None and job.status in waiter.until:
            return job
        wanted = " or ".join(sorted(waiter.until))
        row = "there is no row of it" if job is None else f"its status is {job.status}"
        known = [row] if waiter.looks else []
        why = "; ".join([*known, trouble] if trouble else known)
        raise NotReachedError(f"job {waiter.job_id!r} was not {wanted} within {seconds:g} s: {why}", job, trouble)

    def _after_fork(self) -> None:
        self._line.forget()
        self._waits.forget()


def check_until(until: str | Iterable[str], allowed: Collection[str] | None = None) -> frozenset[str]:
    """The wanted statuses: one, or several. Raises `ValueError` or `TypeError`, which say what is allowed."""
    words = [until] if isinstance(until, str) else list(islice(until, MOST_STATUSES + 1))
    if not 1 <= len(words) <= MOST_STATUSES:
        raise ValueError(f"until: wanted 1 to {MOST_STATUSES} statuses")
    return frozenset(check_status(word, None if allowed is None else frozenset(allowed)) for word in words)


def check_timeout(timeout: float | None, longest: float = LONGEST_WAIT) -> float | None:
    """The time-out in seconds. Raises `ValueError` or `TypeError`, which say what is allowed."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout: wanted a number of seconds, got {type(timeout).__name__}")
    if math.isnan(timeout) or not 0 <= timeout <= longest:
        raise ValueError(f"timeout: wanted 0 to {longest:,.0f} seconds")
    return float(timeout)


_READERS: Final[weakref.WeakSet[JobStatusReader]] = weakref.WeakSet()


def _forget_the_parents_connections() -> None:
    for reader in list(_READERS):
        reader._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_parents_connections)
