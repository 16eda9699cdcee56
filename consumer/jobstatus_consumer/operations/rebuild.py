"""A new table made from the log: the rule takes each job's events one by one, and the rows are copied in bulk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from jobstatus_schemas import JobStatusEvent

from jobstatus_consumer.core import RowState, advance, decide
from jobstatus_consumer.errors import JobStatusError, StopRequestedError
from jobstatus_consumer.kafka import RangeReader
from jobstatus_consumer.operations.replay import ReplayResult
from jobstatus_consumer.operations.scope import ReadCounts, Scope, end_if_stopped, events
from jobstatus_consumer.operations.shards import BYTES, Pass, passes
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import NewTable, Row, State, new_table

Made = tuple[State, JobStatusEvent]
"""A row in the making: its state for the order, and the event that it shows. Every event makes one, so it is plain."""


class _UnknownJobsError(JobStatusError):
    """Some of the jobs that were named have no event."""


def rebuild(
    reader: RangeReader,
    scope: Scope,
    url: str,
    table: str,
    *,
    live: str,
    stop: Callable[[], bool] = lambda: False,
    observe: Callable[[int], None] = lambda records: None,
    limit: int = BYTES,
) -> ReplayResult:
    """Make `table` and fill it with the rows that the scope's events make; `applied` counts its rows.

    After a stop or an error there is no new table, and none if a job that was named has no event. If the scope has
    all that is retained, the new table's progress says so, and a consumer that is given the table goes on there. What
    was purged from the table `live` stays purged in the new one.
    `stop` ends the work between two chunks; `observe` is given the records read so far; `limit` is in bytes.
    Blocks until the log has been read, several times if the rows do not fit into `limit`.
    """
    started = time.monotonic()
    result = ReplayResult()
    try:
        with new_table(url, table) as new:
            for found in passes(Pass[Made], limit):
                _run(reader, scope, found, result, stop, observe)
                # sorted, so that the index of the key grows at one end
                jobs = sorted(found.jobs)
                result.applied += new.copy((job_id, Row.made(*found.jobs[job_id])) for job_id in jobs)
            result.applied -= new.take_over_purged(live)
            _claim(new, reader, scope)
        result.complete = True
    except (StopRequestedError, _UnknownJobsError):
        result.applied = 0
    result.positions = dict(reader.positions)
    result.seconds = time.monotonic() - started
    return result


def _run(
    reader: RangeReader,
    scope: Scope,
    found: Pass[Made],
    result: ReplayResult,
    stop: Callable[[], bool],
    observe: Callable[[int], None],
) -> None:
    counts = result.counts if found.first else ReadCounts()
    for chunk in events(reader, scope, counts, stop, None if found.first else found.has):
        take(chunk, found)
        found.make_room()
        if found.first:
            observe(counts.records)
    end_if_stopped(stop)
    if found.first and scope.wanted.jobs - counts.seen_jobs:
        raise _UnknownJobsError("some of the jobs that were named have no event")


def take(chunk: Sequence[Event], found: Pass[Made]) -> None:
    """Make the rows of the pass from one more chunk of the log."""
    jobs = found.jobs
    if found.modulus > 1:
        chunk = [event for event in chunk if found.has(event.raw.key)]
    for event in chunk:
        content = event.content
        job_id, message = content.job_id, content.error_message
        before = jobs.get(job_id)
        if before is None:
            jobs[job_id] = advance(None, event), content
        else:
            state = _state_after(before[0], event)
            if state is None:
                continue
            if old := before[1].error_message:
                found.extra -= len(old)
            jobs[job_id] = state, content
        if message:
            found.extra += len(message)


def _state_after(state: State, event: Event) -> State | None:
    """The row's state for the order after the event; None if the event changes nothing."""
    attempt, latest, log_id, offset = state
    # nearly every event is applied for its place in the log alone; so this case of the rule is asked first
    if log_id == event.log_id and attempt == event.content.attempt and not event.late and event.offset > (offset or 0):
        return attempt, max(event.time, latest or 0), log_id, event.offset
    before = RowState(*state)
    return advance(before, event) if decide(before, event) == "applied" else None


def _claim(new: NewTable, reader: RangeReader, scope: Scope) -> None:
    if not scope.wanted.all:
        return
    lows = {number: watermarks.low for number, watermarks in reader.watermarks().items()}
    whole = [item for item in scope.ranges if item.start <= lows[item.partition]]
    new.set_progress({scope.logs[item.partition].id: item.end for item in whole})
