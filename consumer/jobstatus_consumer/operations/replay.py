"""The replay itself: the same fold, the same guard, the events' own positions; no offsets and no progress of others.

A batch of a replay covers no span, so the table's progress cannot claim what the consumer has not written.
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
from jobstatus_consumer.kafka.range_reader import RangeReader
from jobstatus_consumer.operations.scope import Counts, Scope, alongside, events
from jobstatus_consumer.records import Batch, Event, Rejected, Written
from jobstatus_consumer.retry import retry
from jobstatus_consumer.store import Store, Table

BATCH: Final = 500
"""Events in a statement: larger than the consumer's, since nobody waits for a single one."""
KEEP_EVERY: Final = 0.5
SHOWN: Final = 10

T = TypeVar("T")


@dataclass(slots=True)
class Result:
    """What a replay did, in numbers of events."""

    counts: Counts = field(default_factory=Counts)
    applied: int = 0
    merged: int = 0
    skipped: int = 0
    """of jobs without a row, while only rows that exist are wanted"""
    stale: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    refused_at: list[str] = field(default_factory=list)
    seconds: float = 0.0
    positions: Mapping[int, int] = field(default_factory=dict)
    """up to where everything is written: the next offset of each partition, before anything that was refused"""
    complete: bool = False

    def add(self, written: Written) -> None:
        """Count what a batch did."""
        self.applied += written.applied
        self.merged += written.merged
        self.stale.update(written.stale)
        for item in written.rejected:
            self.refused[f"{item.reason} ({item.sqlstate or 'no SQLSTATE'}{', ' * bool(item.where)}{item.where})"] += 1
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


class Placed(NamedTuple):
    """A chunk of events, and up to where it goes: the next offset of each partition."""

    chunk: Sequence[Event]
    positions: Mapping[int, int]


class Sink(Protocol):
    """What the events of a chunk are given to."""

    def write(self, chunk: Sequence[Event], result: Result) -> None:
        """Write them, and count into `result`."""


def patiently(action: Callable[[], T], stop: Flag, patience: float, say: Callable[[str], None]) -> T:
    """The result of `action`; while the database is away it is tried again, for `patience` seconds at most."""

    def observe(error: BaseException, upcoming: float, tries: int) -> None:
        if tries == 1:
            say(f"waiting for the database: {error}; trying for {patience:g} s")

    deadline = time.monotonic() + patience
    return retry(action, retry_on=DatabaseAwayError, stop=stop, deadline=deadline, observe=observe)


class LiveTable:
    """Writes to the managed table; while the database is away it waits, up to `patience` seconds each time."""

    def __init__(
        self, store: Store, present: Table | None, stop: Flag, patience: float, say: Callable[[str], None]
    ) -> None:
        self._store = store
        self._present = present
        self._stop = stop
        self._patience = patience
        self._say = say

    def write(self, chunk: Sequence[Event], result: Result) -> None:
        """Write one batch; `present`, where given, knows which jobs have a row."""
        written, skipped = patiently(lambda: self._write(chunk), self._stop, self._patience, self._say)
        result.add(written)
        result.skipped += skipped

    def _write(self, batch: Sequence[Event]) -> tuple[Written, int]:
        if not self._store.connected:
            self._store.connect()
        if self._present is None:
            return self._store.write(Batch(batch, (), ())), 0
        with self._present.held({event.job_id for event in batch}) as there:
            kept = [event for event in batch if event.job_id in there]
            return self._store.write(Batch(kept, (), ())), len(batch) - len(kept)


class Pace:
    """No more than so many events a second, so that the live consumer is not starved; 0 for no limit."""

    def __init__(self, rate: float, stop: Flag, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._stop = stop
        self._clock = clock
        self._started = clock()
        self._done = 0

    @property
    def at_once(self) -> int:
        """Events in a statement: at a slow rate about a second's, so that no stop and no progress waits long."""
        return max(1, int(min(BATCH, self._rate))) if self._rate > 0 else BATCH

    def wait(self, count: int) -> None:
        """Wait until `count` more events are within the rate; a stop ends the wait."""
        self._done += count
        if self._rate > 0:
            ahead = self._done / self._rate - (self._clock() - self._started)
            if ahead > 0:
                self._stop.wait(ahead)


@dataclass(slots=True)
class _Writing:
    """Writes chunks batch by batch, and knows after each up to where that goes; for the thread of the work alone."""

    sink: Sink
    pace: Pace
    stop: Flag
    observe: Callable[[int], None]
    keep: Callable[[Mapping[int, int]], None] | None
    result: Result
    passed: dict[int, int]
    cut: bool = False
    """whether something that was read has not been written; nothing after it may be, then"""
    events: int = 0
    before: int = 0
    kept_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.before = sum(self.passed.values())
        self.result.positions = dict(self.passed)

    def write(self, placed: Placed) -> None:
        """Write a chunk; after a stop nothing more than the batch that is under way."""
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
            # each partition in order, so that what lies between two events is no event that is wanted
            self._passes({event.raw.partition: event.raw.offset + 1 for event in batch})
            self.pace.wait(len(batch))
        self._passes(placed.positions)

    def _passes(self, positions: Mapping[int, int]) -> None:
        self.passed.update(positions)
        self.observe(sum(self.passed.values()) - self.before)
        if self.result.refused:
            # whoever goes on from the place shall meet again what was refused
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
    result: Result,
) -> None:
    """Read the scope and give it to `sink` in order, until its end or until `stop`.

    `keep` is told, now and then and at the end, up to where everything is written; so says `result`, also when an
    error ends the run. `observe` is told how many offsets are done. Both are called by the thread that writes.
    """
    starts = {item.partition: item.start for item in scope.stretches}
    writing = _Writing(sink, pace, stop, observe, keep, result, starts)
    started = time.monotonic()
    try:
        # closed before anything else is told of an error: nothing is being written then
        with closing(alongside(_chunks(reader, scope, stop, result), writing.write)) as written:
            for _ in written:
                pass
    except StopRequestedError:
        writing.cut = True
    if not writing.cut:
        result.complete = reached(scope, reader.positions)
        if not result.refused:
            result.positions = dict(reader.positions)
    # not what was only read, ahead of the writing
    result.counts.events = writing.events
    result.seconds = time.monotonic() - started
    if keep is not None:
        keep(result.positions)


def reached(scope: Scope, positions: Mapping[int, int]) -> bool:
    """Whether all of the scope is before these positions."""
    return all(positions.get(item.partition, item.start) >= item.end for item in scope.stretches)


def _chunks(reader: RangeReader, scope: Scope, stop: Flag, result: Result) -> Iterator[Placed]:
    for chunk in events(reader, scope, result.counts, stop.is_set):
        yield Placed(chunk, dict(reader.positions))
