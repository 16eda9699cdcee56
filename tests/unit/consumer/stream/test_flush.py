"""The two ways to flush, by a model of time: the loop over a log whose records arrive at given times.

Broker, writer and clock are fakes, because only so each moment is known. A write takes as long as the test says. Time
passes in waits for a record or for the writer's result; and a poll takes a microsecond.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobstatus_consumer.config import Flush, load_settings
from jobstatus_consumer.core.dead_letter_budget import Budget, BudgetState
from jobstatus_consumer.kafka.commits import CommittedOffset
from jobstatus_consumer.kafka.group_consumer import AssignedPartition
from jobstatus_consumer.kafka.reading import EndOfPartition
from jobstatus_consumer.records import NO_EPOCH, Batch, Log, RawRecord, Written
from jobstatus_consumer.stream.pipeline import BUSY_POLL, Pipeline
from jobstatus_consumer.stream.run_stats import RunStats
from jobstatus_consumer.stream.tasks import BatchWritten, ProgressRead, Result, Task
from jobstatus_consumer.telemetry.metrics import Metrics

LOG = Log("t", "id", 0)
LINGER = 2.0
WAIT_FOR_RESULT = BUSY_POLL / 4
POLL = 1e-6


class Clock:
    """Moves where the fakes move it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class TimedLog:
    """A member of the group, with one partition. Its records arrive at the times given."""

    def __init__(self, clock: Clock, arrivals: Sequence[float]) -> None:
        self._clock = clock
        self._arrivals = arrivals
        self._next = 0
        self.polled_at: list[float] = []
        self.polls = self.empty_polls = 0
        self.paused = False
        self.end_marker: EndOfPartition | None = None

    @property
    def all_polled(self) -> bool:
        return self._next == len(self._arrivals)

    def poll(self, limit: int, timeout: float) -> list[RawRecord | EndOfPartition]:
        self._clock.now += POLL
        if not self._there() and not self.all_polled:
            self._clock.now = max(self._clock.now, min(self._arrivals[self._next], self._clock.now + timeout))
        elif self.all_polled:
            self._clock.now += timeout
        found: list[RawRecord | EndOfPartition] = []
        while self._there() and len(found) < limit:
            found.append(RawRecord("t", 0, self._next, 0, None, b"", (), LOG.id))
            self._next += 1
            self.polled_at.append(self._clock.now)
        if self.all_polled and self.end_marker is not None:
            found.append(self.end_marker)
            self.end_marker = None
        self.polls += 1
        self.empty_polls += not found
        return found

    def _there(self) -> bool:
        return self._next < len(self._arrivals) and self._arrivals[self._next] <= self._clock.now

    def epoch_before(self, number: int, offset: int) -> int:
        return NO_EPOCH

    def compare(self, number: int, known: int, known_epoch: int) -> None:
        return None

    def check_topic(self, topic_id: str | None) -> None:
        """The topic is what it was."""

    def high(self, number: int) -> int:
        return len(self._arrivals)

    def commit(self, by_log: Mapping[Log, int], budget: BudgetState, *, wait: bool) -> bool:
        return True

    def pause(self, numbers: Iterable[int]) -> None:
        """The fake goes on: what comes although its partition is paused waits in the loop."""
        self.paused = True

    def resume(self, numbers: Iterable[int]) -> None:
        self.paused = False


class Sent(NamedTuple):
    """A batch as it was handed to the writer: when, its first offset and its records, and what the writer had then."""

    at: float
    first: int
    records: int
    others: int


class TimedWriter:
    """Writes one batch after the other; each takes as long as `durations` says, in turn."""

    alive, outage, settling = True, None, None

    def __init__(self, clock: Clock, durations: Sequence[float]) -> None:
        self._clock = clock
        self._durations = durations
        self._tasks: deque[tuple[Task, float]] = deque()
        self._progress: dict[str, int] = {}
        self.idle_since = 0.0
        self.sent: list[Sent] = []

    @property
    def tasks(self) -> int:
        return len(self._tasks)

    def submit(self, task: Task) -> None:
        began = max(self._clock.now, self._tasks[-1][1]) if self._tasks else self._clock.now
        if isinstance(task, Batch):
            first = task.rejected[0].raw.offset if task.rejected else -1
            self.sent.append(Sent(self._clock.now, first, task.records, len(self._tasks)))
        takes = self._durations[len(self.sent) % len(self._durations)] if isinstance(task, Batch) else 0.0
        self._tasks.append((task, began + takes))

    def result(self, timeout: float) -> Result | None:
        task, done = self._tasks[0]
        if done > self._clock.now + timeout:
            self._clock.now += timeout
            return None
        self._clock.now, self.idle_since = max(self._clock.now, done), done
        self._tasks.popleft()
        if not isinstance(task, Batch):
            return ProgressRead(dict(self._progress))
        self._progress.update((item.log_id, item.end) for item in task.ranges)
        return BatchWritten(task, Written(0), len(task.rejected))

    def cut_if_overdue(self) -> None:
        """Nothing is overdue."""


class Model:
    """The loop over both, with its one partition assigned and compared."""

    def __init__(
        self, flush: Flush, arrivals: Sequence[float], durations: Sequence[float], *, window: int = 1, most: int = 50
    ) -> None:
        self.clock = Clock()
        self.log, self.writer = TimedLog(self.clock, arrivals), TimedWriter(self.clock, durations)
        log: Any = self.log
        writer: Any = self.writer
        wanted = {"batch_flush": flush, "batches_in_flight": window, "batch_max_events": most}
        budget = Budget(10**9, 100)
        self.loop = Pipeline(load_settings({}, wanted), log, writer, RunStats(Metrics()), budget, self.clock)
        self.loop.on_assigned([AssignedPartition(LOG, CommittedOffset(0, "id"), 0, 0)])
        while not self.loop.assignment.all_compared:
            self.loop.step()

    @property
    def waiting(self) -> int:
        """How many records were polled and not handed to the writer."""
        return len(self.log.polled_at) - sum(item.records for item in self.writer.sent)

    @property
    def done(self) -> bool:
        return self.log.all_polled and not self.waiting and not self.writer.tasks

    def step(self) -> None:
        self.loop.step()

    def run(self) -> list[Sent]:
        """Until all is written: the batches."""
        while not self.done:
            self.step()
        return self.writer.sent


arrivals_of = st.lists(st.sampled_from([0.0, 0.0, 0.0001, 0.001, 0.01, 0.3, 1.0, 3.0]), min_size=1, max_size=150).map(
    lambda gaps: [sum(gaps[: number + 1]) for number in range(len(gaps))]
)
flushes: st.SearchStrategy[Flush] = st.sampled_from(("linger", "adaptive"))
durations_of = st.lists(st.sampled_from([0.001, 0.004, 0.02, 0.5, 4.0]), min_size=1, max_size=20)


@settings(max_examples=50)
@given(arrivals_of, durations_of, st.integers(1, 4), st.sampled_from([1, 7, 50]))
def test_nothing_waits_while_the_writer_is_idle(
    arrivals: list[float], durations: list[float], window: int, most: int
) -> None:
    model = Model("adaptive", arrivals, durations, window=window, most=most)
    while not model.done:
        submitted = len(model.writer.sent)
        # after a pause, records that wait in the loop are looked for so often
        patience = BUSY_POLL if model.log.paused else 2 * POLL
        model.step()
        assert model.writer.tasks or not model.waiting
        for sent in model.writer.sent[submitted:]:
            if not sent.others:
                # the moment at which there was a record as well as an idle writer
                assert sent.at <= max(model.log.polled_at[sent.first], model.writer.idle_since) + patience


@settings(max_examples=50)
@given(arrivals_of, durations_of, st.integers(1, 4), st.sampled_from([1, 7, 50]), flushes)
def test_no_batch_passes_its_limit_nor_waits_for_longer_than_the_linger_while_the_writer_takes_one(
    arrivals: list[float], durations: list[float], window: int, most: int, flush: Flush
) -> None:
    model = Model(flush, arrivals, durations, window=window, most=most)
    while not model.done:
        began, submitted = model.clock.now, len(model.writer.sent)
        waited = model.writer.tasks < window and model.waiting
        due = model.log.polled_at[-model.waiting] + LINGER if waited else float("inf")
        model.step()
        left_at = [sent.at for sent in model.writer.sent[submitted:]] or [model.clock.now]
        # while its partitions are paused, the loop polls for so long
        assert left_at[0] <= max(began, due) + BUSY_POLL + POLL
    assert all(sent.records <= most for sent in model.writer.sent)


@settings(max_examples=50)
@given(arrivals_of, durations_of, st.integers(1, 4), flushes)
def test_the_loop_waits_and_does_not_spin(
    arrivals: list[float], durations: list[float], window: int, flush: Flush
) -> None:
    model = Model(flush, arrivals, durations, window=window)
    before, began = model.log.empty_polls, model.clock.now
    batches = len(model.run())
    # one look more for each batch, which found that the writer or the age had come to it
    assert model.log.empty_polls - before <= (model.clock.now - began) / WAIT_FOR_RESULT + 2 * batches + 1


@pytest.mark.parametrize("window", [1, 2, 4])
def test_a_lone_event_is_written_at_once_or_after_the_linger(window: int) -> None:
    (at_once,) = Model("adaptive", [10.0], [0.001], window=window).run()
    (later,) = Model("linger", [10.0], [0.001], window=window).run()
    assert (at_once.at, later.at) == pytest.approx((10.0, 10.0 + LINGER), abs=0.001)


def test_what_arrives_together_is_one_batch() -> None:
    assert [sent.records for sent in Model("adaptive", [1.0] * 50, [0.001]).run()] == [50]
    assert [sent.records for sent in Model("adaptive", [1.0] * 120, [0.001]).run()] == [50, 50, 20]


@pytest.mark.parametrize("window", [1, 4])
def test_what_arrives_while_a_batch_is_on_its_way_is_the_next_batch(window: int) -> None:
    arrivals = [1.0 + number * 0.001 for number in range(40)]
    sent = Model("adaptive", arrivals, [0.02], window=window).run()
    # the second batch has all that came during the first, and not one record for each place in the window
    assert [(item.records, item.others) for item in sent] == [(1, 0), (20, 0), (19, 0)]


def test_a_full_batch_does_not_wait_for_the_one_before_where_several_may_be_in_flight() -> None:
    arrivals = [1.0] + [1.001] * 100
    sent = Model("adaptive", arrivals, [0.5], window=4).run()
    assert [(item.records, item.others) for item in sent] == [(1, 0), (50, 1), (50, 2)]
    assert sent[2].at < 1.1


def test_while_a_write_takes_long_the_linger_sends_what_waits_behind_it() -> None:
    sent = Model("adaptive", [1.0, 1.5], [30.0], window=2).run()
    assert [item.others for item in sent] == [0, 1]
    assert sent[1].at == pytest.approx(1.5 + LINGER, abs=WAIT_FOR_RESULT)


def test_offsets_without_an_event_wait_for_the_linger() -> None:
    model = Model("adaptive", [1.0], [0.001])
    model.log.end_marker = EndOfPartition(0, 3)
    while not model.log.all_polled or model.waiting:
        model.step()
    model.log.end_marker = EndOfPartition(0, 5)
    began = model.clock.now
    while len(model.writer.sent) < 2:
        model.step()
    assert model.writer.sent[1].records == 0
    assert model.clock.now - began >= LINGER
