"""The loop under a seeded schedule of slow and failing writes, rebalances, and a database that forgets.

The broker and the writer are fakes here, because real ones do not produce such schedules on demand. The tests in
tests/integration and tests/chaos check the same claims against real ones.
"""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from jobstatus_consumer.config import Flush, load_settings
from jobstatus_consumer.core.dead_letter_budget import Budget, BudgetState
from jobstatus_consumer.core.start_offsets import StartOffset
from jobstatus_consumer.errors import DeploymentError, OffsetsLostError
from jobstatus_consumer.kafka.commits import CommittedOffset
from jobstatus_consumer.kafka.group_consumer import AssignedPartition
from jobstatus_consumer.kafka.reading import EndOfPartition
from jobstatus_consumer.records import NO_EPOCH, Batch, Log, RawRecord, Written
from jobstatus_consumer.stream.caught_up import CaughtUp
from jobstatus_consumer.stream.pipeline import COMMIT_EVERY, STOP_WAIT, Pipeline
from jobstatus_consumer.stream.run_stats import RunStats
from jobstatus_consumer.stream.tasks import (
    IN_HAND,
    BatchReturned,
    BatchWritten,
    Failed,
    ProgressRead,
    ReadProgress,
    Result,
    Stopped,
    Task,
)
from jobstatus_consumer.telemetry.metrics import Metrics

PARTITIONS = 3


class Database:
    """Which offsets are written; it can forget back to an earlier state."""

    def __init__(self) -> None:
        self.written: dict[int, set[int]] = {number: set() for number in range(PARTITIONS)}
        self.progress: dict[str, int] = {}
        self.connection = 0

    def restore(self, fraction: float) -> None:
        for log_id, known in self.progress.items():
            kept = int(known * fraction)
            self.progress[log_id] = kept
            number = int(log_id.split("/")[2])
            self.written[number] = {offset for offset in self.written[number] if offset < kept}
        self.connection += 1

    def has_all_before(self, number: int, offset: int) -> bool:
        return all(item in self.written[number] for item in range(offset) if item % 7 != 3)


class FakeWriter:
    """The writer's interface; what it does with a task, and when, is drawn. It takes a batch more than `window`."""

    def __init__(self, database: Database, rng: random.Random, window: int) -> None:
        self._database = database
        self._rng = rng
        self._most = window + IN_HAND
        self._connection = -1
        self._tasks: deque[Task] = deque()
        self.most = 0
        self.outage = None
        self.alive = True
        self.stopped = False
        self.settling = None

    @property
    def task(self) -> Task | None:
        return self._tasks[0] if self._tasks else None

    def submit(self, task: Task) -> None:
        assert len(self._tasks) < self._most
        assert not any(isinstance(item, ReadProgress) for item in self._tasks), "behind a comparison"
        assert isinstance(task, Batch) or not self._tasks, "a comparison behind a batch"
        self._tasks.append(task)
        self.most = max(self.most, len(self._tasks))

    def result(self, timeout: float) -> Result | None:
        if self.task is None or (self._rng.random() < 0.5 and timeout < STOP_WAIT / 2):
            return None
        found = self.do(self._tasks.popleft())
        if isinstance(found, BatchReturned | Stopped | Failed):
            self._tasks.clear()
        return found

    def do(self, task: Task) -> Result:
        if self._rng.random() < 0.2:
            self._connection = -1  # it was lost; often twice in a row
        if isinstance(task, ReadProgress) or self._connection != self._database.connection:
            self._connection = self._database.connection
            progress = dict(self._database.progress)
            return ProgressRead(progress) if isinstance(task, ReadProgress) else BatchReturned(task, progress)
        return self._write(task)

    def _write(self, batch: Batch) -> BatchWritten:
        for item in batch.rejected:  # what does not decode counts as much as what does
            self._database.written[item.raw.partition].add(item.raw.offset)
        for span in batch.ranges:
            known = self._database.progress.get(span.log_id)
            assert known is None or known >= span.start, "the progress would jump over what is not written"
            self._database.progress[span.log_id] = max(span.end, known or 0)
        return BatchWritten(batch, Written(applied=0), len(batch.rejected))

    def stop_waiting(self) -> None:
        self.stopped = True

    def cut_if_overdue(self) -> None:
        pass


class FakeConsumer:
    """A group member over logs in memory, with gaps in the offsets; rebalances come at any poll."""

    def __init__(self, database: Database, rng: random.Random, length: int) -> None:
        self._listener: Pipeline
        self._database = database
        self._rng = rng
        self._length = length
        self._positions: dict[int, int] = {}
        self._paused: set[int] = set()
        self._refused: set[int] = set()
        self.group: dict[int, int] = {}
        self.rebalances = 0
        self.forgot = False
        self.inside_rebalance = False

    def subscribe(self, listener: Pipeline) -> None:
        self._listener = listener
        self.rebalances += 1
        self._assign(set(range(PARTITIONS)))

    def _assign(self, numbers: set[int]) -> None:
        found = [
            AssignedPartition(Log("t", "id", n), CommittedOffset(self.group.get(n), "id"), 0, self._length)
            for n in sorted(numbers)
        ]
        self._positions.update({start.log.partition: start.offset for start in self._listener.on_assigned(found)})
        self._paused -= numbers  # as the client fetches at once from what is assigned

    def rebalance(self) -> None:
        self.inside_rebalance = True
        gone = {number for number in self._positions if self._rng.random() < 0.6}
        (self._listener.on_lost if self._rng.random() < 0.3 else self._listener.on_revoked)(gone)
        for number in gone:
            del self._positions[number]
        self._assign(set(range(PARTITIONS)) - self._positions.keys())
        self.inside_rebalance = False

    def poll(self, limit: int, timeout: float) -> list[RawRecord | EndOfPartition]:
        refused, self._refused = self._refused, set()
        self._listener.on_not_committed(refused)
        if self._rng.random() < 0.02:
            self.rebalance()
            return []
        found: list[RawRecord | EndOfPartition] = []
        for number in self._rng.sample(sorted(self._positions), len(self._positions)):
            if number not in self._paused and len(found) < limit:
                found += self._read(number, self._rng.randrange(limit - len(found) + 1))
        return found

    def _read(self, number: int, count: int) -> Iterable[RawRecord | EndOfPartition]:
        start = self._positions[number]
        end = min(self._length, start + count)
        self._positions[number] = end
        for offset in range(start, end):
            if offset % 7 != 3:  # as a transaction's marker leaves a gap
                yield RawRecord("t", number, offset, 0, None, b"", (), Log("t", "id", number).id)
        if end == self._length:
            yield EndOfPartition(number, end)

    def pause(self, numbers: Iterable[int]) -> None:
        self._paused |= set(numbers)

    def resume(self, numbers: Iterable[int]) -> None:
        assert not self.inside_rebalance, "resumed inside a callback of the client"
        self._paused -= set(numbers)

    def seek(self, start: StartOffset) -> None:
        assert not self.inside_rebalance, "sought inside a callback of the client"
        assert start.log.partition in self._positions
        self._positions[start.log.partition] = start.offset

    def check_topic(self, topic_id: str | None) -> None:
        assert topic_id == ("id" if self._positions else None)

    def committed(self, numbers: Iterable[int]) -> dict[int, CommittedOffset]:
        return {number: CommittedOffset() for number in numbers}

    def epoch_before(self, number: int, offset: int) -> int:
        return NO_EPOCH

    def compare(self, number: int, known: int, known_epoch: int) -> None:
        return None

    def high(self, number: int) -> int:
        return self._length

    def commit(self, by_log: Mapping[Log, int], budget: BudgetState, *, wait: bool) -> bool:
        offsets = {log.partition: offset for log, offset in by_log.items()}
        for number, offset in offsets.items():
            assert number in self._positions, "a commit for a partition that is not ours"
            assert self.forgot or self._database.has_all_before(number, offset), "committed past an unwritten event"
        if not wait and self._rng.random() < 0.3:
            # the client accepted it and the broker refused it, which is reported later, from inside a poll
            self._refused |= set(offsets)
            return True
        self.group.update(offsets)
        return True

    def close(self) -> None:
        self._listener.on_revoked(set(self._positions))
        self._positions.clear()


def ticking() -> Callable[[], float]:
    """A clock on which a commit is due with every step, since each step reads it several times."""
    now = itertools.count(0.0, COMMIT_EVERY / 3)
    return lambda: next(now)


def make(
    rng: random.Random, database: Database | None = None, window: int = 1, flush: Flush = "linger"
) -> tuple[Pipeline, FakeConsumer, FakeWriter, Database]:
    database = database or Database()
    writer: Any = FakeWriter(database, rng, window)
    consumer: Any = FakeConsumer(database, rng, 200)
    given = {
        "batch_max_events": rng.choice((1, 5, 50)),
        "batch_linger_seconds": 0 if flush == "linger" else 60,
        "batch_flush": flush,
        "batches_in_flight": window,
    }
    settings = load_settings({}, given)
    loop = Pipeline(settings, consumer, writer, RunStats(Metrics()), Budget(10**9, 100), ticking())
    return loop, consumer, writer, database


def windows(alone: int, several: int) -> list[tuple[int, int]]:
    """Seeds and windows: so many seeds with one batch at a time, and so many with each larger window."""
    return [(seed, window) for window in (1, 2, 3, 4) for seed in range(alone if window == 1 else several)]


def flushed(alone: int, several: int) -> list[tuple[int, int, Flush]]:
    """The same with the flush `linger`, and the seeds of the larger windows with `adaptive`."""
    lingering: list[tuple[int, int, Flush]] = [(*item, "linger") for item in windows(alone, several)]
    return lingering + [(*item, "adaptive") for item in windows(several, several)]


@pytest.mark.parametrize(("seed", "window", "flush"), flushed(60, 8))
def test_the_commit_never_passes_an_unwritten_event_and_everything_is_written(
    seed: int, window: int, flush: Flush
) -> None:
    rng = random.Random(seed)
    loop, consumer, _, database = make(rng, window=window, flush=flush)
    ends = dict.fromkeys(range(PARTITIONS), 200)
    caught_up = CaughtUp(ends, loop.assignment, consumer)
    steps = 0

    def stop() -> bool:
        nonlocal steps
        steps += 1
        assert steps < 100_000, "the loop does not come to an end"
        return caught_up.reached()

    loop.run(stop)
    assert all(database.has_all_before(number, 200) for number in range(PARTITIONS))
    assert consumer.group == ends


@pytest.mark.parametrize(("seed", "window", "flush"), flushed(60, 8))
def test_what_the_database_forgot_is_written_again(seed: int, window: int, flush: Flush) -> None:
    rng = random.Random(1000 + seed)
    loop, consumer, _, database = make(rng, window=window, flush=flush)
    consumer.forgot = True
    ends = dict.fromkeys(range(PARTITIONS), 200)
    caught_up = CaughtUp(ends, loop.assignment, consumer)
    steps, left = 0, 5

    def stop() -> bool:
        nonlocal steps, left
        steps += 1
        assert steps < 100_000, "the loop does not come to an end"
        if left and rng.random() < 0.02:
            left -= 1
            database.restore(rng.random())
        return left == 0 and caught_up.reached()

    loop.run(stop)
    # what was forgotten after the last write is seen by the next start, though the group has committed all of it
    again, consumer_again, _, _ = make(rng, database, window, flush)
    consumer_again.group, consumer_again.forgot = dict(consumer.group), True
    again.run(CaughtUp(ends, again.assignment, consumer_again).reached)
    assert all(database.has_all_before(number, 200) for number in range(PARTITIONS))


@pytest.mark.parametrize("window", [1, 2, 4])
def test_the_writer_gets_all_that_it_takes_and_no_more(window: int) -> None:
    """The writer asserts that no more batches come. None waits for another one's result while there is room."""
    loop, consumer, writer, _ = make(random.Random(7), window=window)
    loop.run(CaughtUp(dict.fromkeys(range(PARTITIONS), 200), loop.assignment, consumer).reached)
    assert writer.most == window + IN_HAND


@pytest.mark.parametrize("seed", range(30))
def test_a_refused_commit_is_made_again_though_nothing_more_comes(seed: int) -> None:
    loop, consumer, _, _ = make(random.Random(3000 + seed))
    ends = dict.fromkeys(range(PARTITIONS), 200)
    steps = 0

    def stop() -> bool:
        nonlocal steps
        steps += 1
        assert steps < 100_000, "the last offsets are never committed"
        return consumer.group == ends

    loop.run(stop)


@pytest.mark.parametrize(("seed", "window", "flush"), flushed(20, 5))
def test_a_stop_at_any_moment_commits_only_what_is_written(seed: int, window: int, flush: Flush) -> None:
    rng = random.Random(2000 + seed)
    loop, consumer, _, database = make(rng, window=window, flush=flush)
    steps = rng.randrange(150)

    def stop() -> bool:
        nonlocal steps
        steps -= 1
        return steps < 0

    loop.run(stop)
    for number in range(PARTITIONS):
        assert database.has_all_before(number, consumer.group.get(number, 0))


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (Failed(DeploymentError("no such table", sqlstate="42P01")), DeploymentError),
        (Failed(OffsetsLostError("gone")), OffsetsLostError),
    ],
)
def test_what_cannot_be_done_stops_the_loop_and_commits_nothing(result: Result, error: type[Exception]) -> None:
    loop, consumer, writer, _ = make(random.Random(5))
    real = writer.do

    def done(task: Task) -> Result:
        return real(task) if isinstance(task, ReadProgress) else result

    writer.do = done  # type: ignore[method-assign]
    with pytest.raises(error):
        loop.run(lambda: False)
    assert consumer.group == {}


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("passed_over", [False, True], ids=["reported", "not reported"])
def test_a_batch_that_vanishes_while_the_loop_goes_on_is_never_committed_past(passed_over: bool, window: int) -> None:
    loop, consumer, writer, database = make(random.Random(5), window=window)
    real, batches = writer.do, 0
    nothing = BatchWritten(Batch((), (), ()), Written(0), 0)

    def done(task: Task) -> Result:
        nonlocal batches
        batches += isinstance(task, Batch)
        if batches == 3:
            batches += 1
            database.progress = {item.log_id: item.end for item in getattr(task, "ranges", ())}
            return nothing if passed_over else Stopped()
        return real(task)

    writer.do = done  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="were never written" if passed_over else "the writer has stopped"):
        loop.run(lambda: False)
    for number in range(PARTITIONS):
        assert database.has_all_before(number, consumer.group.get(number, 0))


@pytest.mark.parametrize(("seed", "window", "flush"), flushed(20, 3))
def test_a_stop_writes_nothing_behind_a_batch_that_was_given_up(seed: int, window: int, flush: Flush) -> None:
    loop, consumer, writer, database = make(random.Random(seed), window=window, flush=flush)
    real, taken, given_up = writer.do, writer.result, False

    def done(task: Task) -> Result:
        nonlocal given_up
        if isinstance(task, ReadProgress) or given_up:
            return real(task)
        given_up = True
        return Stopped()

    def result(timeout: float) -> Result | None:
        # the first batch waits until the writer is told to stop; a batch behind it would be written
        return None if isinstance(writer.task, Batch) and not writer.stopped else taken(timeout)

    writer.do, writer.result = done, result  # type: ignore[method-assign]
    steps = iter(range(80))
    loop.run(lambda: next(steps) > 60)
    assert given_up
    assert consumer.group == {}
    assert not any(database.written.values())


def test_a_stop_while_the_database_is_away_commits_nothing_of_what_waits() -> None:
    loop, consumer, writer, _ = make(random.Random(5))
    real = writer.do

    def done(task: Task) -> Result:
        return real(task) if isinstance(task, ReadProgress) else Stopped()

    def result(timeout: float) -> Result | None:
        # the writer waits until it is told to stop
        return None if isinstance(writer.task, Batch) and not writer.stopped else taken(timeout)

    taken = writer.result
    writer.do, writer.result = done, result  # type: ignore[method-assign]
    steps = iter(range(50))
    loop.run(lambda: next(steps) > 40)
    assert consumer.group == {}
