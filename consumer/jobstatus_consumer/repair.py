"""Setting the rows that `verify` named to what the log says, and no others.

A row that is missing or behind gets its job's events through the guard, as in a replay. A row that is different, or
out of turn, is set only while it stands where it stood when it was judged: one that has moved on since has news of its
own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from jobstatus_consumer.kafka.reader import Reader
from jobstatus_consumer.records import Event
from jobstatus_consumer.replay.live import Result, Sink
from jobstatus_consumer.replay.scope import Counts, Scope, Wanted, events
from jobstatus_consumer.rule import RowState, advance, decide
from jobstatus_consumer.store import Mend, Table
from jobstatus_consumer.verify import Finding

AT_ONCE: Final = 500
SET: Final = ("different", "out_of_turn")
"""The kinds that the guard would leave as they are."""


@dataclass(slots=True)
class Repaired:
    """What a repair did: rows set where they stood, and what went through the guard."""

    set_rows: int = 0
    moved_on: int = 0
    result: Result = field(default_factory=Result)


@dataclass(slots=True)
class _Made:
    """What the log makes of one row, event by event."""

    state: RowState | None = None
    shown: Event | None = None

    def take(self, event: Event) -> None:
        if decide(self.state, event) == "applied":
            self.state = advance(self.state, event)
            self.shown = event


def repair(reader: Reader, scope: Scope, table: Table, findings: Mapping[str, Finding], sink: Sink,
           stop: Callable[[], bool]) -> Repaired:  # fmt: skip
    """Read the scope once more for the jobs of `findings` and mend their rows."""
    done = Repaired()
    wanted = replace(scope, wanted=Wanted(jobs=frozenset(findings)))
    made = {job_id: _Made() for job_id, finding in findings.items() if finding.kind in SET}
    counts = Counts()
    for chunk in events(reader, wanted, counts, stop):
        _set_rows(_at_their_place(chunk, findings, made), table, done)
        through = [event for event in chunk if not findings[event.job_id].whole]
        for start in range(0, len(through), AT_ONCE):
            sink.write(through[start : start + AT_ONCE], done.result)
    if not stop():
        _set_rows([_mend(job, finding, made[job]) for job, finding in findings.items()
                   if finding.whole and made[job].shown is not None], table, done)  # fmt: skip
    return done


def _at_their_place(chunk: Sequence[Event], findings: Mapping[str, Finding], made: Mapping[str, _Made]) -> list[Mend]:
    """What the rows are set to whose own event is in this chunk."""
    mends = []
    for event in chunk:
        row = made.get(event.job_id)
        if row is None:
            continue
        row.take(event)
        finding = findings[event.job_id]
        if not finding.whole and (event.log_id, event.offset) == (finding.log_id, finding.log_offset):
            # the row shows this event, whatever the rule makes of it now: it was late, or redriven
            mends.append(_mend(event.job_id, finding, _Made(row.state, event)))
    return mends


def _mend(job_id: str, finding: Finding, made: _Made) -> Mend:
    event, state = made.shown, made.state
    if event is None or state is None:
        raise RuntimeError("a row is only set to what an event says")
    keep = not finding.whole
    return Mend(
        job_id=job_id,
        status=event.status,
        error_message=event.error_message,
        attempt=event.attempt if event.attempt is not None else state.attempt,
        worker_id=event.worker_id,
        occurred_at=event.occurred_at,
        event_id=event.event_id,
        latest=max(event.time, state.latest or 0),
        log_id=event.log_id,
        log_offset=event.offset,
        keep_attempt=keep and "attempt" not in finding.columns,
        keep_latest=keep and "latest_occurred_at" not in finding.columns,
        was_log=finding.log_id or "",
        was_offset=finding.log_offset or 0,
    )


def _set_rows(mends: Sequence[Mend], table: Table, done: Repaired) -> None:
    for start in range(0, len(mends), AT_ONCE):
        some = sorted(mends[start : start + AT_ONCE])
        mended = len(table.mend(some))
        done.set_rows += mended
        done.moved_on += len(some) - mended
