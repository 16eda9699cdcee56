"""The writer when connections are stale. A database that is reachable but unfit may report that every time."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from jobstatus_consumer.core.dead_letter_budget import Budget
from jobstatus_consumer.errors import ConnectionStaleError, DatabaseAwayError, DeploymentError, StoreError
from jobstatus_consumer.records import Batch, Projected, TopicProgress, Written
from jobstatus_consumer.stream.settling import Settling
from jobstatus_consumer.stream.tasks import (
    BatchReturned,
    BatchWritten,
    Failed,
    ProgressRead,
    ReadProgress,
    Result,
    Task,
)
from jobstatus_consumer.stream.writer import Writer
from law.events import batch, event
from support.waiting import until

BATCH = batch([event()])
PROGRESS = {"job-status/id/0": 7}
STALE = ConnectionStaleError("FeatureNotSupported (0A000)", sqlstate="0A000")


class Store:
    """Raises the given errors in turn, at a write or when the progress is read; `None` is a success."""

    def __init__(self, writes: list[StoreError | None], comparisons: list[StoreError | None]) -> None:
        self.connected = False
        self.statement_age = 0.0
        self._writes = writes
        self._comparisons = comparisons

    def connect(self) -> None:
        self.connected = True

    def _next(self, errors: list[StoreError | None]) -> None:
        error = errors.pop(0) if errors else None
        if error is not None:
            raise error

    def topic_progress(self, topic: str) -> TopicProgress:
        self._next(self._comparisons)
        assert topic == "job-status"
        return TopicProgress(PROGRESS)

    def encode(self, batch: Batch) -> Batch:
        return batch

    def write(self, batch: Batch) -> Written:
        self._next(self._writes)
        return Written(len(batch.events))

    def send(self, batch: Batch) -> bool:
        raise AssertionError("one batch at a time is written, not sent")

    def receive(self, wake: int | None) -> Written | None:
        raise AssertionError("nothing was sent")

    def rest(self) -> None:
        raise AssertionError("nothing was sent")

    def cut(self) -> None:
        pass

    def close(self) -> None:
        self.connected = False


class Waits:
    """How many jobs wait, and since when."""

    jobs = 1
    since = 0.0


class StoreWithTarget(Store):
    """One job waits for its row in the target; `settled` raises, or is set once it was tried."""

    waiting = Waits()
    page = 500
    page_left = False

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__([], [])
        self._error = error
        self.settled = threading.Event()

    def settle(self) -> Projected:
        self.settled.set()
        if self._error is not None:
            raise self._error
        return Projected(written=1, arrived=1)

    def count_waiting(self) -> None:
        pass


@contextmanager
def settling(store: StoreWithTarget, report: Callable[[Projected], None]) -> Iterator[Writer]:
    sender: Any = None
    budget = Budget(100, 5.0)
    writer = Writer(store, sender, budget, "group", "job-status", settling=Settling(store, report))
    writer.start()
    yield writer
    writer.close(10)
    assert not writer.alive


@contextmanager
def writing(
    *writes: StoreError | None,
    comparisons: list[StoreError | None] | None = None,
    count_connection: Callable[[], object] = lambda: None,
) -> Iterator[Writer]:
    with running(Store(list(writes), comparisons or []), count_connection) as writer:
        yield writer


@contextmanager
def running(store: Store, count_connection: Callable[[], object] = lambda: None) -> Iterator[Writer]:
    sender: Any = None
    writer = Writer(store, sender, Budget(100, 5.0), "group", "job-status", count_connection=count_connection)
    writer.start()
    yield writer
    writer.close(10)
    assert not writer.alive


def result(writer: Writer, task: Task) -> Result:
    writer.submit(task)
    found = writer.result(10)
    assert found is not None
    return found


def outcomes(writer: Writer, tries: int) -> list[type[Result]]:
    """The results when the batch is submitted again and again."""
    assert isinstance(result(writer, ReadProgress()), ProgressRead)
    found = []
    for _ in range(tries):
        outcome = result(writer, BATCH)
        found.append(type(outcome))
        if isinstance(outcome, BatchReturned):
            assert outcome == BatchReturned(BATCH, PROGRESS)
        if isinstance(outcome, Failed):
            assert isinstance(outcome.error, DeploymentError)
            assert "again, on a new connection" in str(outcome.error)
            assert outcome.error.sqlstate == "0A000"
            break
    return found


def test_a_connection_that_was_stale_once_is_made_anew() -> None:
    connections = itertools.count()
    with writing(STALE, count_connection=lambda: next(connections)) as writer:
        assert outcomes(writer, 3) == [BatchReturned, BatchWritten, BatchWritten]
    assert next(connections) == 2


def test_a_write_that_is_stale_on_the_new_connection_too_ends_the_consumer() -> None:
    with writing(STALE, STALE) as writer:
        assert outcomes(writer, 10) == [BatchReturned, Failed]


def test_what_is_stale_once_in_a_while_is_made_anew_each_time() -> None:
    with writing(STALE, None, STALE, None, None, STALE, None) as writer:
        once = [BatchReturned, BatchWritten]
        assert outcomes(writer, 7) == [*once, *once, BatchWritten, *once]


@pytest.mark.parametrize("between", [[], [DatabaseAwayError("away")]])
def test_a_comparison_that_is_stale_twice_ends_the_consumer(between: list[StoreError | None]) -> None:
    with writing(comparisons=[STALE, *between, STALE]) as writer:
        failed = result(writer, ReadProgress())
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, DeploymentError)


def test_what_waits_is_settled_between_tasks_once_there_is_a_connection() -> None:
    store, reported = StoreWithTarget(), threading.Event()
    with settling(store, lambda found: reported.set()) as writer:
        assert not store.settled.is_set()
        assert isinstance(result(writer, ReadProgress()), ProgressRead)
        assert reported.wait(30)
        assert isinstance(result(writer, BATCH), BatchWritten)


def test_a_target_that_became_wrong_while_nothing_was_written_ends_the_consumer() -> None:
    store = StoreWithTarget(DeploymentError("no such column"))
    with settling(store, lambda found: None) as writer:
        assert isinstance(result(writer, ReadProgress()), ProgressRead)
        assert store.settled.wait(30)
        failed = until(lambda: isinstance(found := result(writer, ReadProgress()), Failed) and found, "it has failed")
        assert isinstance(failed, Failed)
        assert str(failed.error) == "no such column"


class Encoding(Store):
    """Notes what was encoded and written, in this order, and in which thread; a write lasts until it is let go."""

    def __init__(self, *writes: StoreError | None) -> None:
        super().__init__(list(writes), [])
        self.done: list[str] = []
        self.threads: set[str] = set()
        self.let_go = threading.Semaphore(0)

    def encode(self, batch: Batch) -> Batch:
        self.done.append(f"encode {batch.events[0].job_id}")
        self.threads.add(threading.current_thread().name)
        return replace(batch)

    def write(self, batch: Batch) -> Written:
        assert self.let_go.acquire(timeout=10)
        self.done.append(f"write {batch.events[0].job_id}")
        return super().write(batch)


def test_a_batch_in_hand_is_encoded_by_the_loop_while_the_one_before_is_at_the_database() -> None:
    store = Encoding(None, STALE)
    with running(store) as writer:
        assert isinstance(result(writer, ReadProgress()), ProgressRead)
        for job_id in ("a", "b"):
            writer.submit(batch([event(job_id)]))
        with pytest.raises(RuntimeError, match="as many tasks as it takes"):
            writer.submit(batch([event("c")]))
        assert store.done == ["encode a", "encode b"]
        store.let_go.release()
        assert isinstance(writer.result(10), BatchWritten)
        writer.submit(batch([event("c")]))
        store.let_go.release()
        returned = writer.result(10)
        assert isinstance(returned, BatchReturned)
        assert returned.batch.events[0].job_id == "b"
        # what was encoded for the old connection is not written on the new one, also not by a batch in hand
        store.let_go.release(2)
        for job_id in ("b", "c"):
            assert isinstance(result(writer, batch([event(job_id)])), BatchWritten)
    assert store.done[2:] == ["write a", "encode c", "write b", "encode b", "write b", "encode c", "write c"]
    assert store.threads == {threading.current_thread().name}
