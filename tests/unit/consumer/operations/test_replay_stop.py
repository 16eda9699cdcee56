"""A replay that is stopped or refused: what it says and keeps never claims an event that was not written."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from jobstatus_consumer.operations import replay as live
from jobstatus_consumer.operations.ranges import OffsetRange
from jobstatus_consumer.operations.scope import EventFilter, Scope
from jobstatus_consumer.records import Event, Log, Rejected, Written
from jobstatus_schemas import JobStatusEvent, encode
from law.events import NOON, event

LOGS = {number: Log("job-status", "id", number) for number in (0, 1)}
ENDS = {0: 1000, 1: 1000}
SCOPE = Scope("job-status", [OffsetRange(0, 0, 1000), OffsetRange(1, 0, 1000)], LOGS)


class RangeReader:
    """Two partitions in turns, ten records of each; the first half of 2,000 in one chunk, the second in another.

    Every tenth offset is no event. The second chunk is given, though a stop came while the first was written.
    """

    def __init__(self) -> None:
        self.positions: dict[int, int] = {}

    def read(self, ranges: Any, log_ids: Mapping[int, str], stop: Any) -> Any:
        for half in (0, 500):
            self.positions = dict.fromkeys(ENDS, half + 500)
            yield [_raw(p, start + n) for start in range(half, half + 500, 10) for p in ENDS for n in range(10)]


def _raw(partition: int, offset: int) -> Any:
    status = "first" if offset < 500 else "second"
    made = JobStatusEvent(f"00000000-0000-0000-{partition:04d}-{offset:012d}", "job-1", status, None, None, None, NOON)
    value = encode(made) if offset % 10 else b"rubbish"
    return event(offset=offset).raw._replace(partition=partition, value=value, timestamp=-1)


@dataclass
class Sink:
    """Notes what was written; asks for a stop after so many batches, or has the event at `refuses` refused."""

    stop: threading.Event
    after: int = 0
    refuses: tuple[int, int] | None = None
    batches: list[list[tuple[int, int]]] = field(default_factory=list)

    def write(self, chunk: Sequence[Event], result: live.ReplayResult) -> None:
        self.batches.append([(item.raw.partition, item.raw.offset) for item in chunk])
        bad = [item for item in chunk if (item.raw.partition, item.raw.offset) == self.refuses]
        rejected = [Rejected(item.raw, "write", "check_violation", "") for item in bad]
        result.add(Written(len(chunk) - len(bad), rejected=rejected))
        if len(self.batches) == self.after:
            self.stop.set()

    @property
    def written(self) -> set[tuple[int, int]]:
        return {place for batch in self.batches for place in batch}


@dataclass
class Run:
    """What became of a run."""

    result: live.ReplayResult
    sink: Sink
    kept: list[Mapping[int, int]]
    told: list[int]


def run(scope: Scope = SCOPE, *, rate: float = 0, **wanted: Any) -> Run:
    stop = threading.Event()
    done = Run(live.ReplayResult(), Sink(stop, **wanted), [], [])
    reader: Any = RangeReader()
    pace: Any = live.Pace(rate, stop)
    pace.wait = lambda count: None
    live.run(
        reader, scope, done.sink, stop, pace=pace, observe=done.told.append, keep=done.kept.append, result=done.result
    )
    return done


def events(first: Mapping[int, int], end: Mapping[int, int]) -> set[tuple[int, int]]:
    return {(number, offset) for number in ENDS for offset in range(first[number], end[number]) if offset % 10}


@pytest.mark.parametrize(
    ("rate", "after"), [(0, 1), (0, 2), (0, 3), (50, 1), (50, 18), (50, 19), (50, 35), (70, 7), (70, 25)]
)
def test_after_a_stop_nothing_more_is_written_and_the_place_is_right(rate: float, after: int) -> None:
    done = run(rate=rate, after=after)
    assert len(done.sink.batches) == after
    assert not done.result.complete
    assert done.kept[-1] == done.result.positions
    # exactly what is before the place was written: nothing is claimed, and nothing is done twice
    assert done.sink.written == events({0: 0, 1: 0}, done.result.positions)
    assert done.result.counts.events == len(done.sink.written)


def test_a_chunk_without_wanted_events_after_a_stop_moves_no_place() -> None:
    scope = Scope("job-status", SCOPE.ranges, LOGS, EventFilter(statuses=frozenset({"first"})))
    done = run(scope, rate=100, after=3)
    assert done.sink.written == events({0: 0, 1: 0}, done.result.positions)
    assert not done.result.complete


def test_a_stop_after_the_last_event_leaves_nothing_to_go_on_with() -> None:
    done = run(after=4)
    assert len(done.sink.written) == 1800
    assert (done.result.complete, done.result.positions, done.kept[-1]) == (True, ENDS, ENDS)


def test_progress_is_told_in_offsets_after_every_batch() -> None:
    done = run(rate=100)
    assert done.told == sorted(done.told)
    assert len(done.told) >= 18
    assert done.told[-1] == 2000


@pytest.mark.parametrize("refuses", [(0, 1), (1, 233), (1, 999)])
@pytest.mark.parametrize("after", [0, 30])
def test_the_place_stays_before_what_was_refused(
    refuses: tuple[int, int], after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "KEEP_EVERY", 0.0)
    done = run(rate=50, refuses=refuses, after=after)
    assert done.result.complete == (after == 0)
    partition, offset = refuses
    if refuses in done.sink.written:
        assert all(place[partition] <= offset for place in [*done.kept, done.result.positions])
        # no further back than the batch before
        assert sum(done.result.positions.values()) >= sum(refuses) - 2 * 60
    # going on from there writes all the rest
    assert done.sink.written | events(done.result.positions, ENDS) == events({0: 0, 1: 0}, ENDS)


def test_a_statement_holds_about_a_second_of_a_slow_rate() -> None:
    stop = threading.Event()
    rates = {0: 500, 0.2: 1, 1: 1, 50: 50, 499.9: 499, 5000: 500, 1e300: 500}
    assert {rate: live.Pace(rate, stop).at_once for rate in rates} == rates
