"""Replay: write events of the log to the table again, through the same fold and the same guard.

A replayed batch covers no range of the log, so the table's progress never claims what the consumer has not written.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event as Flag
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from jobstatus_consumer.errors import DatabaseAwayError, StopRequestedError
from jobstatus_consumer.kafka import RangeReader
from jobstatus_consumer.operations.row_setting import refusal
from jobstatus_consumer.operations.scope import ReadCounts, Scope, alongside, events
from jobstatus_consumer.records import Batch, Event, Rejected, Written
from jobstatus_consumer.retry import retry
from jobstatus_consumer.store import Store, Table

BATCH: Final = 500
"""Events in one statement: more than in the consumer's, since nobody waits for a single event."""
KEEP_EVERY: Final = 0.5
SHOWN: Final = 10

T = TypeVar("T")


@dataclass(slots=True)
class ReplayResult:
    """What a replay did, in numbers of events."""

    counts: ReadCounts = field(default_factory=ReadCounts)
    applied: int = 0
    merged: int = 0
    skipped: int = 0
    """Of jobs without a row, with `--existing-only`."""
    stale: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    refused_at: list[str] = field(default_factory=list)
    seconds: float = 0.0
    positions: Mapping[int, int] = field(default_factory=dict)
    """By partition, the next offset: everything before it is written, and nothing before it was refused."""
    complete: bool = False

    def add(self, written: Written) -> None:
        """Count the result of one batch."""
        self.applied += written.applied
        self.merged += written.merged
        self.stale.update(written.stale)
        for item in written.rejected:
            self.refused[refusal(item.reason, item.sqlstate, item.where)] += 1
            if len(self.refused_at) < SHOWN:
                self.refused_at.append(position_of(item))

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "records": self.counts.records,
            "events": self.counts.events,
            "applied": self.applied,
            "merged": self.merged,
            "stale": dict(self.stale),
            "skipped": self.skipped,
            "undecodable": dict(self.counts.undecodable),
            "refused": dict(self.refused),
            "refused_at": self.refused_at,
            "seconds": round(self.seconds, 3),
            "events_per_second": round(self.counts.events / self.seconds, 1) if self.seconds else 0.0,
            "complete": self.complete,
            "next": {str(number): offset for number, offset in sorted(self.positions.items())},
        }


def position_of(item: Rejected) -> str:
    """Where a record is, as `P:N`."""
    return f"{item.raw.partition}:{item.raw.offset}"


class PositionedChunk(NamedTuple):
    """A chunk of events, and the next offset of each partition after it."""

    chunk: Sequence[Event]
    positions: Mapping[int, int]


class Sink(Protocol):
    """Takes the events of a chunk."""

    def write(self, chunk: Sequence[Event], result: ReplayResult) -> None:
        """Write them, and count into `result`."""


def retry_database(
    action: Callable[[], T], stop: Flag, patience: float, say: Callable[[str], None], *, quiet_tries: int = 0
) -> T:
    """Return the result of `action`; while the database is unavailable, try again for up to `patience` seconds.

    Blocks meanwhile, and says once that it waits, after so many `quiet_tries`. Raises the last `DatabaseAwayError`
    after that time.
    """

    def observe(error: BaseException, upcoming: float, tries: int) -> None:
        if tries == quiet_tries + 1:
            say(f"waiting for the database: {error}; trying for {patience:g} s")

    deadline = time.monotonic() + patience
    return retry(action, retry_on=DatabaseAwayError, stop=stop, deadline=deadline, observe=observe)


class LiveTable:
    """Writes to the managed table. While the database is unavailable it waits, up to `patience` seconds each time."""

    def __init__(
        self, store: Store, present: Table | None, stop: Flag, patience: float, say: Callable[[str], None]
    ) -> None:
        self._store = store
        self._present = present
        self._stop = stop
        self._patience = patience
        self._say = say

    def write(self, chunk: Sequence[Event], result: ReplayResult) -> None:
        """Write one batch; if `present` is given, only the events of jobs that have a row there. May block."""
        written, skipped = retry_database(lambda: self._write(chunk), self._stop, self._patience, self._say)
        result.add(written)
        result.skipped += skipped

    def _write(self, batch: Sequence[Event]) -> tuple[Written, int]:
        if not self._store.connected:
            self._store.connect()
        if self._present is None:
            return self._store.write(Batch(batch, (), ())), 0
        with self._present.locked({event.job_id for event in batch}) as there:
            kept = [event for event in batch if event.job_id in there]
            return self._store.write(Batch(kept, (), ())), len(batch) - len(kept)


class Pace:
    """Limits the events a second, so that the live consumer is not starved; a rate of 0 means no limit."""

    def __init__(self, rate: float, stop: Flag, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._stop = stop
        self._clock = clock
        self._started = clock()
        self._done = 0

    @property
    def at_once(self) -> int:
        """Events in one statement: at a slow rate about those of one second, so that a stop need not wait long."""
        return max(1, int(min(BATCH, self._rate))) if self._rate > 0 else BATCH

    def wait(self, count: int) -> None:
        """Block until `count` more events are within the rate; a stop ends the wait."""
        self._done += count
        if self._rate > 0:
            ahead = self._done / self._rate - (self._clock() - self._started)
            if ahead > 0:
                self._stop.wait(ahead)


@dataclass(slots=True)
class _Writing:
    """Writes chunks batch by batch, and knows the offsets up to which all is written. Used by one thread only."""

    sink: Sink
    pace: Pace
    stop: Flag
    observe: Callable[[int], None]
    keep: Callable[[Mapping[int, int]], None] | None
    result: ReplayResult
    passed: dict[int, int]
    cut: bool = False
    """Whether something that was read was not written. Then nothing after it may be written either."""
    events: int = 0
    before: int = 0
    kept_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.before = sum(self.passed.values())
        self.result.positions = dict(self.passed)

    def write(self, placed: PositionedChunk) -> None:
        """Write a chunk; a stop ends it after the batch in progress."""
        if self.cut:
            return
        step = self.pace.at_once
        for start in range(0, len(placed.chunk), step):
            if self.stop.is_set():
                self.cut = True
                return
            batch = placed.chunk[start : start + step]
            self.sink.write(batch, self.result)
            self.events += len(batch)
            # events come in order in each partition, so there is no wanted event between two of them
            self._passes({event.raw.partition: event.raw.offset + 1 for event in batch})
            self.pace.wait(len(batch))
        self._passes(placed.positions)

    def _passes(self, positions: Mapping[int, int]) -> None:
        self.passed.update(positions)
        self.observe(sum(self.passed.values()) - self.before)
        if self.result.refused:
            # the next replay from these positions must meet the refused event again
            return
        self.result.positions = dict(self.passed)
        if self.keep is not None and time.monotonic() - self.kept_at >= KEEP_EVERY:
            self.keep(self.result.positions)
            self.kept_at = time.monotonic()


def run(
    reader: RangeReader,
    scope: Scope,
    sink: Sink,
    stop: Flag,
    *,
    pace: Pace,
    observe: Callable[[int], None] = lambda offsets: None,
    keep: Callable[[Mapping[int, int]], None] | None = None,
    result: ReplayResult,
) -> None:
    """Read the scope and write its events to `sink` in order, until the end or until `stop`. Blocks until then.

    `keep` is called about twice a second, and at the end, with the positions up to which all is written. `result` has
    them too, even if an error ends the replay. `observe` is called with the number of offsets done. Both are called by
    the thread that writes.
    """
    starts = {item.partition: item.start for item in scope.ranges}
    writing = _Writing(sink, pace, stop, observe, keep, result, starts)
    started = time.monotonic()
    try:
        # closed first, so that nothing is being written when an error leaves this function
        with closing(alongside(_chunks(reader, scope, stop, result), writing.write)) as written:
            for _ in written:
                pass
    except StopRequestedError:
        writing.cut = True
    if not writing.cut:
        result.complete = reached(scope, reader.positions)
        if not result.refused:
            result.positions = dict(reader.positions)
    # events that were read ahead but not written do not count
    result.counts.events = writing.events
    result.seconds = time.monotonic() - started
    if keep is not None:
        keep(result.positions)


def reached(scope: Scope, positions: Mapping[int, int]) -> bool:
    """Whether these positions are at or past the end of every range."""
    return all(positions.get(item.partition, item.start) >= item.end for item in scope.ranges)


def _chunks(reader: RangeReader, scope: Scope, stop: Flag, result: ReplayResult) -> Iterator[PositionedChunk]:
    for chunk in events(reader, scope, result.counts, stop.is_set):
        yield PositionedChunk(chunk, dict(reader.positions))
