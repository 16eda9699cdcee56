"""Undo: take back what bad events of a range made of the table, as if they had never been reported.

Only a row that still shows one of the bad events is set, and only while it is at the position at which it was found.
It is set to what all other retained events of its job make. Its position stays behind the bad events: neither a replay
nor a consumer that reads them again brings them back. The log is not changed, so a rebuild has them again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

from jobstatus_consumer.errors import StopRequestedError
from jobstatus_consumer.kafka import RangeReader
from jobstatus_consumer.operations.applied import Applied, AppliedByLog
from jobstatus_consumer.operations.row_setting import set_rows
from jobstatus_consumer.operations.scope import Progress, ReadCounts, Scope, end_if_stopped, events, events_of, quiet
from jobstatus_consumer.operations.shards import BYTES, Pass, passes
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import Row, RowRepair, content_of

AT_ONCE: Final = 500
"""Rows in one statement."""
JOBS_AT_ONCE: Final = 100_000
"""Jobs whose events are read together, about 1 KiB of memory each."""
OF_A_POSITION: Final = 120
"""About how many bytes one position takes."""
SHOWN: Final = 10
NO_ROW: Final = Row()

_Positions = set[tuple[str, int]]
_BadPass = Pass[_Positions]
"""By job: the positions of its bad events."""


class UndoTable(Protocol):
    """What is asked of the table; `Table` has it."""

    def rows(self, jobs: Iterable[str]) -> Mapping[str, Row]:
        """The rows of those of these jobs that have one."""

    def repair_rows(self, rows: Sequence[RowRepair]) -> Collection[str]:
        """Set rows, and return the jobs whose row was still where it was found."""


class UndoneRow(NamedTuple):
    """A row that is set, or would be: the event that it shows, and the event that it shows then."""

    job_id: str
    was: str
    becomes: str
    status: str


@dataclass(slots=True)
class UndoResult:
    """What an undo did; in a dry run, what it would do."""

    counts: ReadCounts = field(default_factory=ReadCounts)
    jobs: int = 0
    """with a bad event"""
    rows: int = 0
    """that still show one, and can be set"""
    no_other_event: int = 0
    """rows that show one, whose job has no other retained event: they stay as they are"""
    no_other_event_of: list[str] = field(default_factory=list)
    set_rows: int = 0
    moved_on: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    examples: list[UndoneRow] = field(default_factory=list)
    seconds: float = 0.0
    complete: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        names = ("jobs", "rows", "set_rows", "moved_on", "no_other_event", "no_other_event_of", "refused", "complete")
        return {
            "records": self.counts.records,
            "bad_events": self.counts.events,
            **{name: getattr(self, name) for name in names},
            "examples": [item._asdict() for item in self.examples],
            "seconds": round(self.seconds, 3),
        }


def undo(
    reader: RangeReader,
    bad: Scope,
    whole: Scope,
    table: UndoTable,
    stop: Callable[[], bool],
    *,
    dry_run: bool,
    progress: Progress = quiet,
    limit: int = BYTES,
    each: Callable[[RowRepair], None] = lambda row: None,
) -> UndoResult:
    """Take back the events of `bad`; `whole` is everything that the log has. Blocks until it is read and written.

    `each` is called with every row before it is set.

    After a stop the result is not complete; what was set until then stays set.
    """
    undoing = _Undoing(reader, bad, whole, table, stop, dry_run, progress, each)
    started = time.monotonic()
    try:
        for part in passes(_BadPass, limit):
            undoing.run(part)
        undoing.result.complete = True
    except StopRequestedError:
        pass
    undoing.result.seconds = time.monotonic() - started
    return undoing.result


@dataclass(slots=True)
class _OtherEvents(AppliedByLog):
    """The events of one job without the bad ones, and the row that shows a bad one."""

    row: Row = NO_ROW
    last_offset: int = -1
    """of the job's last event in the row's log, bad or not"""
    shows_bad: bool = False
    """whether the row is what the event at its position says; if not, somebody has changed it since"""

    def note(self, event: Event, bad: _Positions) -> None:
        """Note one more event of the job; the events of each log come in order."""
        if event.log_id == self.row.log_id:
            self.last_offset = max(self.last_offset, event.offset)
            if event.offset == self.row.log_offset:
                self.shows_bad = self.row.content == content_of(event.content)
        if (event.log_id, event.offset) not in bad:
            self.take(event)


@dataclass(slots=True)
class _Undoing:
    """One undo."""

    reader: RangeReader
    bad: Scope
    whole: Scope
    table: UndoTable
    stop: Callable[[], bool]
    dry_run: bool
    progress: Progress
    each: Callable[[RowRepair], None]
    result: UndoResult = field(default_factory=UndoResult)

    def run(self, part: _BadPass) -> None:
        """The bad events of one part of the jobs, then the rows that show them, then the other events of those."""
        self._find_bad(part)
        showing = self._showing(part)
        while some := dict(islice(showing, JOBS_AT_ONCE)):
            self._undo(some, part.jobs)
        self.result.jobs += len(part.jobs)

    def _find_bad(self, part: _BadPass) -> None:
        counts = self.result.counts if part.first else ReadCounts()
        with self.progress("looking for the bad events", self.bad.offsets) as observe:
            for chunk in events(self.reader, self.bad, counts, self.stop, None if part.first else part.has):
                for event in chunk:
                    if part.has(event.raw.key):
                        part.jobs.setdefault(event.job_id, set()).add((event.log_id, event.offset))
                        part.extra += OF_A_POSITION
                part.make_room()
                observe(counts.records)
        end_if_stopped(self.stop)

    def _showing(self, part: _BadPass) -> Iterator[tuple[str, _OtherEvents]]:
        """The jobs whose row is at one of their bad events."""
        jobs = iter(sorted(part.jobs))
        while some := list(islice(jobs, AT_ONCE)):
            end_if_stopped(self.stop)
            for job_id, row in self.table.rows(some).items():
                if (row.log_id, row.log_offset) in part.jobs[job_id]:
                    yield job_id, _OtherEvents(row=row, last_offset=row.log_offset or 0)

    def _undo(self, found: Mapping[str, _OtherEvents], bad: Mapping[str, _Positions]) -> None:
        what = "reading their other events"
        for chunk in events_of(self.reader, self.whole, found, self.stop, self.progress, what):
            for event in chunk:
                found[event.job_id].note(event, bad[event.job_id])
        repairs = list(self._repairs(found))
        for row in repairs:
            self.each(row)
        for start in range(0, len(repairs), AT_ONCE):
            end_if_stopped(self.stop)
            if not self.dry_run:
                set_rows(self.table.repair_rows, repairs[start : start + AT_ONCE], self.result)

    def _repairs(self, found: Mapping[str, _OtherEvents]) -> Iterator[RowRepair]:
        for job_id, others in sorted(found.items()):
            if not others.shows_bad:
                continue
            applied = others.all_applied()
            if applied is None:
                self.result.no_other_event += 1
                if len(self.result.no_other_event_of) < SHOWN:
                    self.result.no_other_event_of.append(job_id)
                continue
            self.result.rows += 1
            if len(self.result.examples) < SHOWN:
                self.result.examples.append(self._example(job_id, others.row, applied))
            log_id, offset = others.row.log_id or "", others.row.log_offset or 0
            row = applied.row(log_id, others.last_offset)
            yield RowRepair(job_id, row, log_id, offset, keep_attempt=False, keep_latest=False)

    def _example(self, job_id: str, row: Row, applied: Applied) -> UndoneRow:
        partitions = {log.id: number for number, log in self.whole.logs.items()}
        event = applied.event
        was = f"{partitions[row.log_id or '']}:{row.log_offset}"
        return UndoneRow(job_id, was, f"{event.raw.partition}:{event.offset}", event.status)
