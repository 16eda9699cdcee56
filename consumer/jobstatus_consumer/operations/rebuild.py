"""A new table out of the log: every job's events by the rule, one by one, and the outcome copied in bulk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from jobstatus_consumer.core.rule import RowState, advance, decide
from jobstatus_consumer.errors import JobStatusError, StopRequestedError
from jobstatus_consumer.kafka.range_reader import RangeReader
from jobstatus_consumer.operations.replay import ReplayResult
from jobstatus_consumer.operations.scope import ReadCounts, Scope, events
from jobstatus_consumer.operations.shards import BYTES, Pass, passes
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import Row
from jobstatus_consumer.store.bulk import NewRow, NewTable, new_table

RowsPass = Pass[Row]
"""The jobs of one pass, with their rows as the events so far make them."""


class _UnknownJobsError(JobStatusError):
    """There is no event of jobs that were asked for by name."""


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
    """Make `table` and fill it with what the scope's events make; `applied` counts its rows.

    All or nothing: after a stop or an error there is no new table, and none where a job that is wanted by name has no
    event. Where everything that is retained was read, its
    progress says so, and a consumer that is given the new table goes on there.
    """
    started = time.monotonic()
    result = ReplayResult()
    try:
        with new_table(url, table) as new:
            for found in passes(RowsPass, limit):
                _run(reader, scope, found, result, stop, observe)
                result.applied += new.copy(_rows(found))
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
    found: RowsPass,
    result: ReplayResult,
    stop: Callable[[], bool],
    observe: Callable[[int], None],
) -> None:
    counts = result.counts if found.first else ReadCounts()
    for chunk in events(reader, scope, counts, stop, None if found.first else found.has):
        make_rows(chunk, found)
        found.make_room()
        if found.first:
            observe(counts.records)
    if stop():
        raise StopRequestedError("a stop was requested")
    if found.first and scope.wanted.jobs - counts.seen_jobs:
        raise _UnknownJobsError("no event of jobs that are wanted")


def make_rows(chunk: Sequence[Event], found: RowsPass) -> None:
    """Apply a chunk of events, in log order, to the rows of the pass."""
    jobs = found.jobs
    if found.modulus > 1:
        chunk = [event for event in chunk if found.has(event.raw.key)]
    for event in chunk:
        made = jobs.get(event.job_id)
        state = _state_after(made, event)
        if state is None:
            continue
        if made is not None and made.error_message:
            found.extra -= len(made.error_message)
        content = event.content
        message = content.error_message
        if message:
            found.extra += len(message)
        jobs[content.job_id] = Row(
            *state, content.status, message, content.worker_id, content.occurred_at, content.event_id
        )


def _state_after(made: Row | None, event: Event) -> tuple[int | None, int | None, str | None, int | None] | None:
    """What the row's state is after the event; None where the event changes nothing."""
    if made is None:
        return advance(None, event)
    attempt, latest, log_id, log_offset = made[:4]
    # the usual case of the rule, asked first because it is nearly every event: applied for its place in the log
    if log_id == event.log_id and attempt == event.attempt and not event.late and event.offset > (log_offset or 0):
        return attempt, max(event.time, latest or 0), log_id, event.offset
    before = RowState(attempt, latest, log_id, log_offset)
    return advance(before, event) if decide(before, event) == "applied" else None


def _rows(found: RowsPass) -> Iterator[NewRow]:
    # sorted, so that the key's index grows at one end
    for job_id in sorted(found.jobs):
        attempt, latest, log_id, log_offset, status, message, worker_id, occurred_at, event_id = found.jobs[job_id]
        # the rule gives a row it has made all of these
        yield NewRow(
            job_id,
            status or "",
            message,
            attempt,
            worker_id,
            occurred_at or 0,
            event_id or "",
            latest or 0,
            log_id or "",
            log_offset or 0,
        )


def _claim(new: NewTable, reader: RangeReader, scope: Scope) -> None:
    if not scope.wanted.all:
        return
    lows = {number: bounds.low for number, bounds in reader.bounds().items()}
    whole = [item for item in scope.ranges if item.start <= lows[item.partition]]
    new.set_progress({scope.logs[item.partition].id: item.end for item in whole})
