"""Does the table say what the log says?

1. The rows are made anew from the log by the rule, as `replay --into` makes them, and compared in the database. A row
   that is equal is right.
2. Every row of a job without an event in the log is looked at by its position.
3. The log is read once more for the rows that are not equal, and each is judged by all events of its job
   (`suspects.py`).

The end of what is read is fixed before any row is read, and everything before it was written by then. A row that a live
consumer has moved on past the end is judged by its position alone, so there is no false alarm.
Where there are more jobs than fit into memory, the three steps are done for one part of the jobs after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice
from typing import Final

from jobstatus_schemas.event import MAX_OCCURRED_AT

from jobstatus_consumer.core import is_news
from jobstatus_consumer.errors import StopRequestedError
from jobstatus_consumer.kafka import RangeReader
from jobstatus_consumer.operations.findings import PURGED, Finding, VerifyReport
from jobstatus_consumer.operations.rebuild import Made, take
from jobstatus_consumer.operations.scope import Progress, ReadCounts, Scope, end_if_stopped, events, quiet
from jobstatus_consumer.operations.shards import Pass, passes
from jobstatus_consumer.operations.suspects import INSIDE, SLACK, Criteria, ReadRanges, Suspect
from jobstatus_consumer.records import Event, RawRecord
from jobstatus_consumer.store import Row, RowPosition, Table

ROWS_BYTES: Final = 192 * 1024 * 1024
"""About how much memory the rows of one part may take, so that there is room for those that differ."""
COMPARED_AT_ONCE: Final = 5_000
"""Rows in one statement."""
JUDGED_AT_ONCE: Final = 200_000
"""Rows that are judged in one further read of the log, under 1 KiB of memory each."""
NO_ROW: Final = Row()
RowsPass = Pass[Made]
Suspects = dict[bytes, Suspect]
"""By the key of the job's records."""


def verify(
    reader: RangeReader,
    scope: Scope,
    table: Table,
    criteria: Criteria,
    stop: Callable[[], bool],
    *,
    progress: Progress = quiet,
    limit: int = ROWS_BYTES,
) -> VerifyReport:
    """Compare the table with the scope; `limit` bounds the memory for rows, in bytes.

    After a stop the report has what was found until then, and is not complete.
    """
    verifying = _Verifying(reader, scope, table, criteria, stop, progress)
    started = time.monotonic()
    try:
        for part in passes(RowsPass, limit):
            verifying.run(part)
        verifying.report.complete = True
    except StopRequestedError:
        pass
    verifying.report.seconds = time.monotonic() - started
    return verifying.report


def time_limit(append_time: bool, now: float) -> int:
    """A time (microseconds) that no event has: where the broker stamps the records, one that is yet to come."""
    return int(now * 1e6) + SLACK if append_time else MAX_OCCURRED_AT


def is_exact(scope: Scope, known: Iterable[str]) -> bool:
    """Whether the scope has all events that the rows were ever made of: none removed, and none of another log.

    `known` are the ids of the logs that the database has taken events of.
    """
    whole = len(scope.ranges) == len(scope.logs) and all(item.start == 0 for item in scope.ranges)
    return whole and set(known) <= set(scope.log_ids.values())


class _Verifying:
    """One run of `verify`."""

    def __init__(
        self,
        reader: RangeReader,
        scope: Scope,
        table: Table,
        criteria: Criteria,
        stop: Callable[[], bool],
        progress: Progress,
    ) -> None:
        self._reader = reader
        self._scope = scope
        self._table = table
        self._criteria = criteria
        self._stop = stop
        self._progress = progress
        self.report = VerifyReport(exact=criteria.exact)

    def run(self, part: RowsPass) -> None:
        """The three steps for the jobs of one part."""
        self._make_rows(part)
        compared: set[str] = set()
        found = chain(self._compare(part, compared), self._without_events(part, compared))
        while suspects := dict(islice(found, JUDGED_AT_ONCE)):
            self._judge(suspects)

    def _drop_removed(self) -> None:
        """Leave out what retention has removed since, so that it is no error that the log does not have it."""
        lows = {number: now.low for number, now in self._reader.watermarks().items()}
        ranges = [item._replace(start=max(item.start, lows[item.partition])) for item in self._scope.ranges]
        if ranges != list(self._scope.ranges):
            self._scope = replace(self._scope, ranges=ranges)
            self._criteria = replace(self._criteria, exact=False)
            self.report.exact = False

    def _make_rows(self, part: RowsPass) -> None:
        counts = self.report.counts if part.first else ReadCounts()
        for chunk in self._read("verifying", counts, None if part.first else part.has):
            take(chunk, part)
            part.make_room()

    def _read(
        self,
        what: str,
        counts: ReadCounts,
        of_key: Callable[[bytes | None], bool] | None,
        rejected: Callable[[RawRecord], object] = lambda raw: None,
    ) -> Iterator[list[Event]]:
        """The wanted events in chunks; raises `StopRequestedError` after a stop."""
        self._drop_removed()
        with self._progress(what, self._scope.offsets) as observe:
            for chunk in events(self._reader, self._scope, counts, self._stop, of_key, rejected):
                yield chunk
                observe(counts.records)
        end_if_stopped(self._stop)

    def _compare(self, part: RowsPass, compared: set[str]) -> Iterator[tuple[bytes, Suspect]]:
        """The rows that are not equal; jobs without a row are findings. All jobs of the part go into `compared`."""
        # sorted, so that neighbours in the table's index are asked for together
        jobs = iter(sorted(part.jobs))
        partitions = {log.id: number for number, log in self._scope.logs.items()}
        logs: dict[str | None, str] = {log_id: log_id for log_id in partitions}
        while some := list(islice(jobs, COMPARED_AT_ONCE)):
            end_if_stopped(self._stop)
            # what was compared leaves the memory to the rows that differ
            made = {job_id: Row.made(*part.jobs.pop(job_id)) for job_id in some}
            compared.update(some)
            differing = self._table.differing(made)
            for job_id, row in differing.items():
                if row is not None:
                    # one text for all rows of a log
                    shared = row._replace(log_id=logs.get(row.log_id, row.log_id))
                    yield job_id.encode(), Suspect(shared, foreign=row.log_id not in partitions)
            self._explain_missing({job_id: made[job_id] for job_id, row in differing.items() if row is None})

    def _explain_missing(self, missing: Mapping[str, Row]) -> None:
        """Jobs without a row: those that were purged and have had no news since are explained, others are findings."""
        partitions = {log.id: number for number, log in self._scope.logs.items()}
        purged = self._table.purged(missing) if missing else {}
        for job_id, row in missing.items():
            if job_id in purged and not is_news(purged[job_id].state, row.state):
                self.report.add(job_id, PURGED)
            elif not self._criteria.ignore_missing:
                self.report.add(job_id, _missing(row, partitions))

    def _without_events(self, part: RowsPass, compared: set[str]) -> Iterator[tuple[bytes, Suspect]]:
        """Rows of jobs without an event in the ranges: suspects where their position is inside, else judged here."""
        places, criteria = ReadRanges(self._scope, self._reader.watermarks), self._criteria
        jobs = self._scope.wanted.jobs
        rows = self._table.positions(criteria.limit) if not jobs else _positions_of(self._table, jobs, criteria.limit)
        for job_id, log_id, offset, too_late in rows:
            end_if_stopped(self._stop)
            if job_id in compared or not part.has(job_id.encode()):
                continue
            row = NO_ROW._replace(log_id=log_id, log_offset=offset, latest=criteria.limit if too_late else None)
            suspect = Suspect(row)
            if places.of(log_id, offset) == INSIDE:
                yield job_id.encode(), suspect
            else:
                self.report.add(job_id, suspect.judge(criteria, places))

    def _judge(self, suspects: Suspects) -> None:
        """Read the events of the suspects again, and judge each by them."""

        def reject(raw: RawRecord) -> None:
            suspects[raw.key or b""].reject(raw)

        for chunk in self._read("looking at the rows that differ", ReadCounts(), suspects.__contains__, reject):
            for event in chunk:
                suspects[event.raw.key or b""].take(event, self._criteria)
        places = ReadRanges(self._scope, self._reader.watermarks)
        for key, suspect in suspects.items():
            self.report.add(key.decode(), suspect.judge(self._criteria, places))


def _missing(row: Row, partitions: Mapping[str, int]) -> Finding:
    return Finding("missing", f"{partitions[row.log_id or '']}:{row.log_offset}", None, None)


def _positions_of(table: Table, jobs: Iterable[str], limit: int) -> Iterator[RowPosition]:
    for job_id, row in table.rows(jobs).items():
        log_id = row.log_id if row.log_offset is not None else None
        yield RowPosition(job_id, log_id, row.log_offset, too_late=(row.latest or 0) >= limit)
