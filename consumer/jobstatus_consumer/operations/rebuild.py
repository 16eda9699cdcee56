"""A new table made from the log: the rule takes each job's events one by one, and the rows are copied in bulk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from jobstatus_consumer.core.rule import advance, decide
from jobstatus_consumer.errors import JobStatusError, StopRequestedError
from jobstatus_consumer.kafka.range_reader import RangeReader
from jobstatus_consumer.operations.replay import ReplayResult
from jobstatus_consumer.operations.scope import ReadCounts, Scope, events
from jobstatus_consumer.operations.shards import BYTES, Pass, passes
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import NewTable, Row, new_table
from jobstatus_consumer.store.layout import State

_Pass = Pass[Row]


class _UnknownJobsError(JobStatusError):
    """Some of the jobs that were named have no event."""


def rebuild(
    reader: RangeReader,
    scope: Scope,
    url: str,
    table: str,
    *,
    stop: Callable[[], bool] = lambda: False,
    observe: Callable[[int], None] = lambda records: None,
    limit: int = BYTES,
) -> ReplayResult:
    """Make `table` and fill it with the rows that the scope's events make; `applied` counts its rows.

    After a stop or an error there is no new table, and none if a job that was named has no event. If the scope has
    all that is retained, the new table's progress says so, and a consumer that is given the table goes on there.
    `stop` ends the work between two chunks; `observe` is given the records read so far; `limit` is in bytes.
    Blocks until the log has been read, several times if the rows do not fit into `limit`.
    """
    started = time.monotonic()
    result = ReplayResult()
    try:
        with new_table(url, table) as new:
            for found in passes(_Pass, limit):
                _run(reader, scope, found, result, stop, observe)
                # sorted, so that the index of the key grows at one end
                result.applied += new.copy(sorted(found.jobs.items()))
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
    found: _Pass,
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
    if stop():
        raise StopRequestedError("a stop was requested")
    if found.first and scope.wanted.jobs - counts.seen_jobs:
        raise _UnknownJobsError("some of the jobs that were named have no event")


def take(chunk: Sequence[Event], found: _Pass) -> None:
    """Make the rows of the pass from one more chunk of the log."""
    jobs = found.jobs
    if found.modulus > 1:
        chunk = [event for event in chunk if found.has(event.raw.key)]
    for event in chunk:
        content = event.content
        row = jobs.get(content.job_id)
        state = _state_after(row, event)
        if state is None:
            continue
        message = content.error_message
        if row is not None and row.error_message:
            found.extra -= len(row.error_message)
        if message:
            found.extra += len(message)
        jobs[content.job_id] = Row.made(state, content)


def _state_after(row: Row | None, event: Event) -> State | None:
    """The row's state for the order after the event; None if the event changes nothing."""
    if row is None:
        return advance(None, event)
    attempt, offset = event.content.attempt, event.offset
    # nearly every event is applied for its place in the log alone; so this case of the rule is asked first
    if row.log_id == event.log_id and row.attempt == attempt and not event.late and offset > (row.log_offset or 0):
        return attempt, max(event.time, row.latest or 0), event.log_id, offset
    return advance(row.state, event) if decide(row.state, event) == "applied" else None


def _claim(new: NewTable, reader: RangeReader, scope: Scope) -> None:
    if not scope.wanted.all:
        return
    lows = {number: watermarks.low for number, watermarks in reader.watermarks().items()}
    whole = [item for item in scope.ranges if item.start <= lows[item.partition]]
    new.set_progress({scope.logs[item.partition].id: item.end for item in whole})
