"""Set the rows that `verify` named to what the log says, and no others.

A row that is missing or behind gets the events of its job through the guard, as in a replay. A row that is different or
out of turn is set, but only while it is at the position at which it was judged: one that has moved on has newer events.
Events that are newer than such a row go through the guard only after the row is set. Before that, a wrong attempt or
time in the row could let an older event of another partition pass.
The scope must begin where the log begins, whatever range was judged: a row is made of all events of its job.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from jobstatus_consumer.errors import StopRequestedError
from jobstatus_consumer.kafka import RangeReader
from jobstatus_consumer.operations.applied import Applied, AppliedByLog
from jobstatus_consumer.operations.findings import Finding
from jobstatus_consumer.operations.replay import ReplayResult, Sink
from jobstatus_consumer.operations.row_setting import set_rows
from jobstatus_consumer.operations.scope import Progress, Scope, end_if_stopped, events_of, quiet
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import Row, RowRepair
from jobstatus_consumer.words import counted

AT_ONCE: Final = 500
"""Rows or events in one statement."""
SET: Final = ("different", "out_of_turn")
"""The kinds of rows that the guard would leave as they are."""
SetRows = Callable[[Sequence[RowRepair]], Collection[str]]
"""Sets rows and returns the jobs whose row was still where it was judged: `Table.repair_rows`."""


@dataclass(slots=True)
class RepairResult:
    """What a repair did."""

    set_rows: int = 0
    moved_on: int = 0
    """Rows that were not set, because they had moved on since they were judged."""
    refused: dict[str, str] = field(default_factory=dict)
    """By job, why the database does not take its row and where it says so, without values."""
    result: ReplayResult = field(default_factory=ReplayResult)
    """The events that went through the guard."""
    complete: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For the audit log."""
        return {
            "set_rows": self.set_rows,
            "moved_on": self.moved_on,
            "applied": self.result.applied,
            "refused": len(self.refused),
            "complete": self.complete,
        }

    def summary(self) -> str:
        """What was done by a repair that did not come to its end, and the next command."""
        return (
            f"{counted(self.set_rows, 'row was', 'rows were')} set, and {counted(self.result.applied, 'event')} "
            "applied to others; nothing else "
            "was changed. jobstatus verify --repair goes on with what still differs"
        )


@dataclass(frozen=True, slots=True)
class RepairContext:
    """What a repair needs: how to set rows, where events go, when to stop, and how to show progress.

    `exact`: the log still has every event that the rows were ever made of.
    """

    set_rows: SetRows
    sink: Sink
    stop: Callable[[], bool]
    exact: bool
    progress: Progress = quiet


def repair(
    reader: RangeReader, scope: Scope, findings: Mapping[str, Finding], context: RepairContext, done: RepairResult
) -> None:
    """Read the scope again for the jobs of `findings` and repair their rows, except those that the database refuses.

    `done` counts along, so it is right also where an error or a stop ends the repair. Blocks until the log is read and
    the rows are written.
    """
    done.complete = False
    try:
        _Repairing(reader, scope, findings, context, done).run()
    except StopRequestedError:
        return
    done.complete = not context.stop()


@dataclass(slots=True)
class _JobEvents(AppliedByLog):
    """What the events of one job make of its row."""

    at_position: Applied | None = None
    """The state up to the row's position, and the event there, which the row shows even if the rule refuses it now
    (a late event, or a redriven dead letter)."""
    other_time: int = 0
    """The highest time of the other logs' events."""
    has_more: bool = False
    """Whether there are events that may be newer than the row."""

    def note(self, event: Event, finding: Finding) -> None:
        """Note one more event; the events of each log come in order."""
        applied = self.take(event)
        if event.log_id != finding.log_id:
            self.other_time = max(self.other_time, event.time)
            self.has_more = True
        elif event.offset == finding.log_offset:
            self.at_position = Applied(applied.state, event._replace(raw=event.raw._replace(value=None, headers=())))
        elif event.offset > (finding.log_offset or 0):
            self.has_more = True


class _Repairing:
    """One repair."""

    def __init__(
        self,
        reader: RangeReader,
        scope: Scope,
        findings: Mapping[str, Finding],
        context: RepairContext,
        done: RepairResult,
    ) -> None:
        self._reader = reader
        self._scope = scope
        self._findings = findings
        self._context = context
        self._done = done

    def run(self) -> None:
        """Read the events; set the rows; then apply the events that are newer than the rows that were set."""
        findings = self._findings
        to_set = {job_id: _JobEvents() for job_id, finding in findings.items() if finding.kind in SET}
        for chunk in self._events_of(findings):
            for event in chunk:
                if event.job_id in to_set:
                    to_set[event.job_id].note(event, findings[event.job_id])
            self._apply([event for event in chunk if event.job_id not in to_set])
        self._set_rows(sorted(self._repairs(to_set)))
        newer = [job for job, found in to_set.items() if found.has_more and not findings[job].from_all_events]
        if newer:
            for chunk in self._events_of(newer):
                self._apply(chunk)

    def _events_of(self, jobs: Iterable[str]) -> Iterator[list[Event]]:
        context = self._context
        return events_of(self._reader, self._scope, jobs, context.stop, context.progress, "reading their events")

    def _apply(self, chunk: Sequence[Event]) -> None:
        for start in range(0, len(chunk), AT_ONCE):
            end_if_stopped(self._context.stop)
            self._context.sink.write(chunk[start : start + AT_ONCE], self._done.result)

    def _repairs(self, to_set: Mapping[str, _JobEvents]) -> Iterator[RowRepair]:
        """What the rows are set to; nothing for a row whose own event the log no longer has."""
        for job_id, found in to_set.items():
            finding = self._findings[job_id]
            applied = found.all_applied() if finding.from_all_events else found.at_position
            if applied is None:
                continue
            if finding.from_all_events:
                row, keep = _from_all_events(finding, applied, exact=self._context.exact)
            else:
                row, keep = _at_position(finding, applied, found.other_time)
            yield RowRepair(job_id, row, finding.log_id or "", finding.log_offset or 0, *keep)

    def _set_rows(self, repairs: Sequence[RowRepair]) -> None:
        if not repairs:
            return
        with self._context.progress("setting rows", len(repairs)) as observe:
            for start in range(0, len(repairs), AT_ONCE):
                end_if_stopped(self._context.stop)
                set_rows(self._context.set_rows, repairs[start : start + AT_ONCE], self._done)
                observe(start + AT_ONCE)


class _Keep(NamedTuple):
    """Whether the row's own attempt and latest time stay if they are higher than those that are set."""

    attempt: bool
    latest: bool


def _from_all_events(finding: Finding, applied: Applied, *, exact: bool) -> tuple[Row, _Keep]:
    """What all events make. If some may be removed, the row's own values may be theirs, and stay."""
    event = applied.event
    keep = _Keep(
        attempt=not exact and event.attempt is None and "attempt" not in finding.columns,
        latest=not exact and "latest_occurred_at" not in finding.columns,
    )
    return applied.row(event.log_id, event.offset), keep


def _at_position(finding: Finding, applied: Applied, other_time: int) -> tuple[Row, _Keep]:
    """What the event at the row's position says. Of the row's own values those stay that are possible with it."""
    state, event = applied
    keep = _Keep("attempt" not in finding.columns, "latest_occurred_at" not in finding.columns)
    attempt = event.attempt if event.attempt is not None or keep.attempt else state.attempt
    # nobody knows which of the other log's events came before: a time that is too high is safe, one that is too low
    # would let an older event set the row back
    latest = event.time if keep.latest else max(event.time, state.latest or 0, other_time)
    return Row.made((attempt, latest, event.log_id, event.offset), event.content), keep
