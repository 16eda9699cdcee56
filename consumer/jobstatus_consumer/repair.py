"""Setting the rows that `verify` named to what the log says, and no others.

A row that is missing or behind gets its job's events through the guard, as in a replay. A row that is different, or
out of turn, is set only while it stands where it stood when it was judged: one that has moved on since has news of its
own. Until it is set the guard may not be asked: with a wrong attempt or time it lets an event pass that the row has had
before the one it shows, out of another partition.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from jobstatus_consumer.errors import BadRowError
from jobstatus_consumer.kafka.reader import Reader
from jobstatus_consumer.records import Event
from jobstatus_consumer.replay.live import Result, Sink
from jobstatus_consumer.replay.scope import Counts, Scope, Wanted, events
from jobstatus_consumer.rule import RowState, advance, decide
from jobstatus_consumer.store import Mend
from jobstatus_consumer.verify import Finding

AT_ONCE: Final = 500
SET: Final = ("different", "out_of_turn")
"""The kinds that the guard would leave as they are."""
Mender = Callable[[Sequence[Mend]], Collection[str]]
"""Sets rows, and names the jobs whose row stood where it was read: `Table.mend`."""


@dataclass(slots=True)
class Repaired:
    """What a repair did: rows set where they stood, and what went through the guard."""

    set_rows: int = 0
    moved_on: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    """by job: why the database does not take its row, and where it says so; no values"""
    result: Result = field(default_factory=Result)


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
        state, last = self.by_log.get(event.log_id, (None, event))
        if decide(state, event) == "applied":
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
            whole = last._replace(attempt=made.attempt, time=made.latest or 0)
            if decide(state, whole) == "applied":
                shown = last
            state = advance(state, whole)
        return None if state is None or shown is None else (state, shown)


def repair(reader: Reader, scope: Scope, mend: Mender, findings: Mapping[str, Finding], sink: Sink,
           stop: Callable[[], bool]) -> Repaired:  # fmt: skip
    """Read the scope once more for the jobs of `findings` and mend their rows, all but those that are refused."""
    done = Repaired()
    made = {job_id: _Made() for job_id, finding in findings.items() if finding.kind in SET}
    for chunk in _events_of(findings, reader, scope, stop):
        for event in chunk:
            if event.job_id in made:
                made[event.job_id].take(event, findings[event.job_id])
        _through([event for event in chunk if event.job_id not in made], sink, done)
    if stop():
        return done
    _set_rows(sorted(_mends(findings, made)), mend, done)
    news = [job_id for job_id, row in made.items() if row.has_more and not findings[job_id].whole]
    if news:
        for chunk in _events_of(news, reader, scope, stop):
            _through(chunk, sink, done)
    return done


def _events_of(jobs: Iterable[str], reader: Reader, scope: Scope, stop: Callable[[], bool]) -> Iterator[list[Event]]:
    return events(reader, replace(scope, wanted=Wanted(jobs=frozenset(jobs))), Counts(), stop)


def _through(chunk: Sequence[Event], sink: Sink, done: Repaired) -> None:
    """Give events to the guard."""
    for start in range(0, len(chunk), AT_ONCE):
        sink.write(chunk[start : start + AT_ONCE], done.result)


def _mends(findings: Mapping[str, Finding], made: Mapping[str, _Made]) -> list[Mend]:
    """What the rows are set to of which an event was read."""
    mends = []
    for job_id, row in made.items():
        finding = findings[job_id]
        found = row.of_all() if finding.whole else row.at_place
        if found is not None:
            mends.append(_mend(job_id, finding, *found, row.other_time))
    return mends


def _mend(job_id: str, finding: Finding, state: RowState, event: Event, other_time: int) -> Mend:
    latest = max(event.time, state.latest or 0)
    keep = not finding.whole
    return Mend(
        job_id=job_id,
        status=event.status,
        error_message=event.error_message,
        attempt=event.attempt if event.attempt is not None else state.attempt,
        worker_id=event.worker_id,
        occurred_at=event.occurred_at,
        event_id=event.event_id,
        # which of another log's events came before is not known: too high a time is safe, a lower one sets the row back
        latest=max(latest, other_time) if keep else latest,
        log_id=event.log_id,
        log_offset=event.offset,
        keep_attempt=keep and "attempt" not in finding.columns,
        keep_latest=keep and "latest_occurred_at" not in finding.columns,
        was_log=finding.log_id or "",
        was_offset=finding.log_offset or 0,
    )


def _set_rows(mends: Sequence[Mend], mend: Mender, done: Repaired) -> None:
    for start in range(0, len(mends), AT_ONCE):
        _set_some(mends[start : start + AT_ONCE], mend, done)


def _set_some(mends: Sequence[Mend], mend: Mender, done: Repaired) -> None:
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
