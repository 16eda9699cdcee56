"""Setting the rows that `verify` named to what the log says, and no others.

A row that is missing or behind gets its job's events through the guard, as in a replay. A row that is different, or
out of turn, is set only while it stands where it stood when it was judged: one that has moved on since has news of its
own. Until it is set the guard may not be asked: with a wrong attempt or time it lets an event pass that the row has had
before the one it shows, out of another partition.
The scope is to begin where the log does, whatever stretch was judged: a row is made of all of its job's events.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from jobstatus_consumer.core.rule import RowState, advance, decide
from jobstatus_consumer.errors import BadRowError, StopRequestedError
from jobstatus_consumer.kafka.range_reader import RangeReader
from jobstatus_consumer.operations.findings import Finding
from jobstatus_consumer.operations.replay import Result, Sink
from jobstatus_consumer.operations.scope import Counts, Scope, Wanted, events
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import RowRepair

AT_ONCE: Final = 500
SET: Final = ("different", "out_of_turn")
"""The kinds that the guard would leave as they are."""
Mender = Callable[[Sequence[RowRepair]], Collection[str]]
"""Sets rows, and names the jobs whose row stood where it was read: `Table.mend`."""
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows how much of so many is done."""


@dataclass(slots=True)
class Repaired:
    """What a repair did: rows set where they stood, and what went through the guard."""

    set_rows: int = 0
    moved_on: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    """by job: why the database does not take its row, and where it says so; no values"""
    result: Result = field(default_factory=Result)
    complete: bool = False

    def told(self) -> str:
        """What was done, where that is not all of it, and what to do."""
        return (
            f"{self.set_rows:,} rows were set, and {self.result.applied:,} events applied to others; nothing else "
            "was changed. jobstatus verify --repair goes on with what still differs"
        )


@dataclass(slots=True)
class _Made:
    """What the log makes of one row, event by event.

    Between two logs, of two partitions, there is no order that could be read again, so each is followed alone.
    """

    by_log: dict[str, tuple[RowState, Event]] = field(default_factory=dict)
    """what the rule makes of each log's events, and the last of them that counted"""
    at_place: tuple[RowState, Event] | None = None
    """the same where the row stands: it shows this event, whatever the rule makes of it now (late, or redriven)"""
    other_time: int = 0
    has_more: bool = False
    """whether there are events that may be news to the row"""

    def take(self, event: Event, finding: Finding) -> None:
        """One more event, in its log's order."""
        state, last = self.by_log.get(event.log_id, (None, None))
        event = event._replace(raw=event.raw._replace(value=None, headers=()))
        if last is None or decide(state, event) == "applied":
            last = event
        state = advance(state, event)
        self.by_log[event.log_id] = state, last
        if event.log_id != finding.log_id:
            self.other_time = max(self.other_time, event.time)
            self.has_more = True
        elif event.offset == finding.log_offset:
            self.at_place = state, event
        elif event.offset > (finding.log_offset or 0):
            self.has_more = True

    def of_all(self) -> tuple[RowState, Event] | None:
        """What all events make: one log's after the other's, by when the last that counted was appended."""
        state, shown = None, None
        for made, last in sorted(self.by_log.values(), key=lambda item: item[1].raw.timestamp):
            whole = last._replace(content=last.content._replace(attempt=made.attempt), time=made.latest or 0)
            if decide(state, whole) == "applied":
                shown = last
            state = advance(state, whole)
        return None if state is None or shown is None else (state, shown)


@dataclass(frozen=True, slots=True)
class Way:
    """How a repair reaches the table, is stopped, and shows how far it is.

    `exact`: all that ever happened to the rows is in the log.
    """

    mend: Mender
    sink: Sink
    stop: Callable[[], bool]
    exact: bool
    progress: Progress = lambda what, total: nullcontext(lambda done: None)


def repair(reader: RangeReader, scope: Scope, findings: Mapping[str, Finding], way: Way, done: Repaired) -> None:
    """Read the scope once more for the jobs of `findings` and mend their rows, all but those that are refused.

    `done` says what was done, also where an error or a stop ends it.
    """
    done.complete = False
    try:
        _repair(reader, scope, findings, way, done)
    except StopRequestedError:
        return
    done.complete = not way.stop()


def _repair(reader: RangeReader, scope: Scope, findings: Mapping[str, Finding], way: Way, done: Repaired) -> None:
    made = {job_id: _Made() for job_id, finding in findings.items() if finding.kind in SET}
    for chunk in _events_of(findings, reader, scope, way):
        for event in chunk:
            if event.job_id in made:
                made[event.job_id].take(event, findings[event.job_id])
        _through([event for event in chunk if event.job_id not in made], way, done)
    _set_rows(sorted(_mends(findings, made, exact=way.exact)), way, done)
    news = [job_id for job_id, row in made.items() if row.has_more and not findings[job_id].from_all_events]
    if news:
        for chunk in _events_of(news, reader, scope, way):
            _through(chunk, way, done)


def _events_of(jobs: Iterable[str], reader: RangeReader, scope: Scope, way: Way) -> Iterator[list[Event]]:
    wanted, counts = replace(scope, wanted=Wanted(jobs=frozenset(jobs))), Counts()
    with way.progress("reading their events", scope.offsets) as observe:
        for chunk in events(reader, wanted, counts, way.stop):
            yield chunk
            observe(counts.records)
    _stop_here(way)


def _through(chunk: Sequence[Event], way: Way, done: Repaired) -> None:
    """Give events to the guard."""
    for start in range(0, len(chunk), AT_ONCE):
        _stop_here(way)
        way.sink.write(chunk[start : start + AT_ONCE], done.result)


def _stop_here(way: Way) -> None:
    if way.stop():
        raise StopRequestedError("a stop was requested")


def _mends(findings: Mapping[str, Finding], made: Mapping[str, _Made], *, exact: bool) -> Iterator[RowRepair]:
    """What the rows are set to of which an event was read."""
    for job_id, row in made.items():
        finding = findings[job_id]
        found = row.of_all() if finding.from_all_events else row.at_place
        if found is not None:
            state, event = found
            if finding.from_all_events:
                order = _of_all(finding, state, event, exact=exact)
            else:
                order = _at_place(finding, state, event, row.other_time)
            yield _mend(job_id, finding, event, order)


class _Order(NamedTuple):
    """Attempt and latest time to be set; where the row's own is kept, only if they are higher."""

    attempt: int | None
    latest: int
    keep_attempt: bool
    keep_latest: bool


def _of_all(finding: Finding, state: RowState, event: Event, *, exact: bool) -> _Order:
    """What all events make; what brought the row's own may have been removed, where not all is in the log."""
    attempt = state.attempt if event.attempt is None else event.attempt
    return _Order(
        attempt,
        max(event.time, state.latest or 0),
        keep_attempt=not exact and event.attempt is None and "attempt" not in finding.columns,
        keep_latest=not exact and "latest_occurred_at" not in finding.columns,
    )


def _at_place(finding: Finding, state: RowState, event: Event, other_time: int) -> _Order:
    """What the event at the row's position says, and of the row's own what is possible with it."""
    keep_attempt, keep_latest = "attempt" not in finding.columns, "latest_occurred_at" not in finding.columns
    return _Order(
        event.attempt if event.attempt is not None or keep_attempt else state.attempt,
        # which of another log's events came before is not known: too high a time is safe, a lower one sets the row back
        event.time if keep_latest else max(event.time, state.latest or 0, other_time),
        keep_attempt,
        keep_latest,
    )


def _mend(job_id: str, finding: Finding, event: Event, order: _Order) -> RowRepair:
    content = event.content
    return RowRepair(
        job_id=job_id,
        status=content.status,
        error_message=content.error_message,
        attempt=order.attempt,
        worker_id=content.worker_id,
        occurred_at=content.occurred_at,
        event_id=content.event_id,
        latest=order.latest,
        log_id=event.log_id,
        log_offset=event.offset,
        keep_attempt=order.keep_attempt,
        keep_latest=order.keep_latest,
        was_log=finding.log_id or "",
        was_offset=finding.log_offset or 0,
    )


def _set_rows(mends: Sequence[RowRepair], way: Way, done: Repaired) -> None:
    if not mends:
        return
    with way.progress("setting rows", len(mends)) as observe:
        for start in range(0, len(mends), AT_ONCE):
            _stop_here(way)
            _set_some(mends[start : start + AT_ONCE], way.mend, done)
            observe(start + AT_ONCE)


def _set_some(mends: Sequence[RowRepair], mend: Mender, done: Repaired) -> None:
    """Set these rows at once; where one is refused, in halves, until it stands alone."""
    try:
        mended = len(mend(mends))
    except BadRowError as error:
        middle = len(mends) // 2
        if middle == 0:
            where = f", {error.where}" if error.where else ""
            done.refused[mends[0].job_id] = f"{error.error_class} ({error.sqlstate or 'no SQLSTATE'}{where})"
            return
        _set_some(mends[:middle], mend, done)
        _set_some(mends[middle:], mend, done)
        return
    done.set_rows += mended
    done.moved_on += len(mends) - mended
