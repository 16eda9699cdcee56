"""One job as a page shows it: its row and as much of its history as may be read in a bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import Letter, Watermarks, decoder_of
from jobstatus_consumer.kafka import CommittedOffset, RangeReader
from jobstatus_consumer.operations.history import History, HistoryEntry, explain, letters_of, records_of
from jobstatus_consumer.operations.ranges import OffsetRange
from jobstatus_consumer.operations.scope import Scope, current_logs
from jobstatus_consumer.records import Event, Log
from jobstatus_consumer.store import PurgedJob, Row, Table

COUNTED: Final = ("shown", "superseded", "purged")
"""The outcomes of events that the row has shown at some time."""


class Bounds(NamedTuple):
    """How much of the log is read for one job: `events` at most in all partitions, for `seconds` at most."""

    events: int
    seconds: float


class Stay(NamedTuple):
    """How long a job was in one status. Times are in microseconds; `end` is None while it is still in it."""

    status: str
    attempt: int | None
    worker_id: str | None
    start: int
    end: int | None


@dataclass(slots=True)
class Attempt:
    """One attempt of a job: its first and last event's times in microseconds, and what its last event says."""

    number: int | None
    start: int
    end: int
    status: str
    worker_id: str | None
    events: int = 0


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What is known of one job. `unread` are stretches of the log that were not read for it."""

    history: History
    unread: Sequence[OffsetRange] = ()
    stays: Sequence[Stay] = field(default_factory=tuple)
    attempts: Sequence[Attempt] = field(default_factory=tuple)

    @property
    def is_known(self) -> bool:
        """Whether there is anything of this job."""
        history = self.history
        return bool(history.items) or history.row is not None or history.purged_at is not None


def stored(table: Table, job_id: str) -> tuple[Row | None, PurgedJob | None]:
    """The job's row, or what a purge has left of it. Blocks; raises StoreError's kinds."""
    row = table.rows([job_id]).get(job_id)
    return row, None if row is not None else table.purged([job_id]).get(job_id)


def row_alone(job_id: str, row: Row | None, purged: PurgedJob | None) -> JobFacts:
    """What is known of a job without its log."""
    return JobFacts(History(job_id, (), row, None if purged is None else purged.at))


def read_job(
    settings: Settings,
    reader: RangeReader,
    table: Table,
    committed: Mapping[int, CommittedOffset],
    job_id: str,
    letters: Sequence[Letter],
    bounds: Bounds,
) -> JobFacts:
    """The job's row, and its events within `bounds`. Blocks; raises `BrokerError` and StoreError's kinds."""
    row, purged = stored(table, job_id)
    logs = current_logs(reader, committed, table.progress())
    ranges, unread = split(reader.watermarks(), logs, row, bounds.events)
    scope = Scope(reader.topic, ranges, logs, decoder=decoder_of(settings))
    records = records_of(reader, scope, job_id, _within(bounds.seconds))
    unread += [
        item._replace(start=reader.positions.get(item.partition, item.start))
        for item in ranges
        if reader.positions.get(item.partition, item.end) < item.end
    ]
    found = explain(job_id, records, row, letters, scope, purged)
    if unread:
        found.remarks = [_partial(unread)]
    return JobFacts(found, unread, tuple(stays_of(found.items)), attempts_of(found.items))


def read_letters(reader: RangeReader, job_id: str, settings: Settings, seconds: float) -> list[Letter]:
    """The job's dead letters of this deployment, as far as they can be read in time. Blocks; raises `BrokerError`."""
    found = letters_of(reader, job_id, _within(seconds))
    return [letter for letter in found if letter.is_of(settings.group_id, settings.table)]


def split(
    marks: Mapping[int, Watermarks], logs: Mapping[int, Log], row: Row | None, events: int
) -> tuple[list[OffsetRange], list[OffsetRange]]:
    """What to read of each partition, and what not: the newest offsets, or those up to the row's own position.

    `events` is shared out among the partitions. Where the row shows an event of this partition, its job's events are
    in no other unless partitions were added; then that partition alone gets all of it.
    """
    home = next((number for number, log in logs.items() if row is not None and row.log_id == log.id), None)
    shares = {number: events // max(1, len(marks)) for number in marks} if home is None else {home: events}
    ranges, unread = [], []
    for number, (low, high) in sorted(marks.items()):
        start = max(low, high - shares.get(number, events // 10))
        end = high
        if number == home and row is not None and row.log_offset is not None and row.log_offset < start:
            # its event is old: what led to it is read, and not what other jobs did since
            start, end = max(low, row.log_offset + 1 - events), min(high, row.log_offset + 1)
        ranges.append(OffsetRange(number, start, end))
        unread += [OffsetRange(number, *pair) for pair in ((low, start), (end, high)) if pair[0] < pair[1]]
    return ranges, unread


def stays_of(items: Sequence[HistoryEntry]) -> Iterator[Stay]:
    """How long the job was in each status, by the times of the events that the row has shown; repeats are joined."""
    events = [item.event for item in items if item.event is not None and item.outcome in COUNTED]
    current: Stay | None = None
    for event in events:
        if current is not None and (current.status, current.attempt) == (event.status, event.attempt):
            continue
        if current is not None:
            yield current._replace(end=max(current.start, event.time))
        current = Stay(event.status, event.attempt, event.content.worker_id, event.time, None)
    if current is not None:
        yield current


def attempts_of(items: Sequence[HistoryEntry]) -> list[Attempt]:
    """The attempts in the order of their first events, whatever became of these events."""
    found: dict[int | None, Attempt] = {}
    for event in (item.event for item in items if item.event is not None):
        one = found.setdefault(event.attempt, _begun(event))
        one.start, one.events = min(one.start, event.time), one.events + 1
        if event.time >= one.end:
            one.end, one.status = event.time, event.status
            one.worker_id = event.content.worker_id or one.worker_id
    return list(found.values())


def _begun(event: Event) -> Attempt:
    return Attempt(event.attempt, event.time, event.time, event.status, event.content.worker_id)


def _within(seconds: float) -> Callable[[], bool]:
    deadline = time.monotonic() + seconds
    return lambda: time.monotonic() > deadline


def _partial(unread: Sequence[OffsetRange]) -> str:
    total = sum(item.size for item in unread)
    return f"{total:,} offsets of the log were not read, so earlier events may be missing here"
