"""The writer with several batches in flight: the order of what it writes, and what an error leaves behind."""

from __future__ import annotations

import select
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from jobstatus_consumer.core import Budget
from jobstatus_consumer.errors import DatabaseAwayError, DeploymentError
from jobstatus_consumer.records import Batch, TopicProgress, Written
from jobstatus_consumer.stream.in_flight import ALONE_FOR, VAIN_TRIES, InFlight
from jobstatus_consumer.stream.tasks import BatchWritten, Failed, ProgressRead, ReadProgress
from jobstatus_consumer.stream.writer import Writer
from law.events import batch, event

WITHIN = 30.0
"""Seconds; a result comes in milliseconds, also on a machine that is busy."""


class Store:
    """Remembers the first job of each batch that it wrote. It answers once four are in flight and `answers` is set."""

    def __init__(self) -> None:
        self.connected = False
        self.statement_age = 0.0
        self.answers = threading.Event()
        self.in_flight: deque[Batch] = deque()
        self.written: list[str] = []
        self.errors: list[Exception] = []
        """what `receive` raises, in turn"""
        self.at_once = 1_000
        """how many rows a statement may have"""
        self.at_once_then = 1_000
        """how many it may have after the next write: a write that took too long was halved"""

    def connect(self) -> None:
        self.connected = True

    def topic_progress(self, topic: str) -> TopicProgress:
        return TopicProgress({})

    def encode(self, batch: Batch) -> Batch:
        return batch

    def write(self, batch: Batch) -> Written:
        assert not self.in_flight, "something else is in flight"
        self.at_once = self.at_once_then
        return self._written(batch)

    def send(self, batch: Batch) -> bool:
        if len(batch.events) > self.at_once:
            return False
        self.in_flight.append(batch)
        return True

    def receive(self, wake: int | None) -> Written | None:
        if wake is not None and not self.answers.is_set():
            poll = select.poll()
            poll.register(wake, select.POLLIN)
            assert poll.poll(WITHIN * 1_000)
            return None
        assert self.answers.wait(WITHIN)
        if self.errors:
            self.in_flight.clear()
            raise self.errors.pop(0)
        return self._written(self.in_flight.popleft())

    def _written(self, batch: Batch) -> Written:
        self.written.append(batch.events[0].job_id)
        return Written(len(batch.events))

    def rest(self) -> None:
        pass

    def cut(self) -> None:
        pass

    def close(self) -> None:
        self.connected = False
        self.in_flight.clear()


@contextmanager
def writing(store: Store, budget: Any = None) -> Iterator[Writer]:
    sender: Any = None
    writer = Writer(store, sender, budget or Budget(100, 5.0), "group", "job-status", several=4)
    writer.start()
    try:
        writer.submit(ReadProgress())
        assert isinstance(writer.result(WITHIN), ProgressRead)
        yield writer
    finally:
        store.answers.set()
        writer.close(WITHIN)
    assert not writer.alive


def batches(**sizes: int) -> list[Batch]:
    """A batch of each name, with so many jobs."""
    return [batch([event(f"{name}{number or ''}", number) for number in range(size)]) for name, size in sizes.items()]


def results(writer: Writer, submitted: Sequence[Batch], store: Store) -> list[str]:
    """Submit these, let the database answer, and return the first job of each batch that was written."""
    for item in submitted:
        writer.submit(item)
    store.answers.set()
    found = [writer.result(WITHIN) for _ in submitted]
    return [item.batch.events[0].job_id for item in found if isinstance(item, BatchWritten)]


def test_no_batch_overtakes_one_that_has_too_many_rows_to_be_sent() -> None:
    store = Store()
    store.errors.append(DatabaseAwayError("canceling statement due to statement timeout"))
    store.at_once_then = 25
    with writing(store) as writer:
        assert results(writer, batches(a=50, b=20, c=50, d=20), store) == ["a", "b", "c", "d"]
    assert store.written == ["a", "b", "c", "d"]


class Exceeded:
    """A budget of dead letters that is exceeded at once."""

    def judge_refusals(self, *_: object) -> None:
        raise DeploymentError("too many")


def test_nothing_is_in_flight_after_a_failure_that_the_database_does_not_know() -> None:
    """An answer that is left would be taken for that of a later batch, whose offset would be committed too early."""
    store = Store()
    with writing(store, Exceeded()) as writer:
        for item in batches(a=1, b=1, c=1, d=1):
            writer.submit(item)
        store.answers.set()
        assert isinstance(writer.result(WITHIN), Failed)
        assert not store.in_flight
        assert not store.connected
    assert store.written == ["a"]


def test_an_error_that_nobody_expects_is_the_result() -> None:
    store = Store()
    store.errors.append(RuntimeError("no such thing"))
    with writing(store) as writer:
        for item in batches(a=1, b=1, c=1, d=1):
            writer.submit(item)
        store.answers.set()
        failed = writer.result(WITHIN)
        assert isinstance(failed, Failed)
        assert str(failed.error) == "no such thing"


def test_batches_that_fail_only_in_flight_are_written_one_by_one_and_that_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Such as behind a pooler that gives no answer in flight: each batch would be sent twice, after a long wait."""
    store = Store()
    store.errors += [DatabaseAwayError("no answer") for _ in range(VAIN_TRIES + 1)]
    store.answers.set()
    with writing(store) as writer:
        for _ in range(3):
            assert results(writer, batches(a=1, b=1, c=1, d=1), store) == ["a", "b", "c", "d"]
    assert len(store.errors) == 1, "nothing is sent any more"
    assert caplog.text.count("batches fail in flight, and not alone: no answer") == 1


def test_batches_are_sent_again_a_while_after_they_failed_in_flight(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    found = InFlight(Store(), 4, lambda: now)
    error = DatabaseAwayError("no answer")
    several = []
    for _ in range(VAIN_TRIES):
        several.append(found.several)
        found.note_vain(error)
    now = ALONE_FOR - 1
    several.append(found.several)
    now = ALONE_FOR
    several.append(found.several)
    found.note_vain(error)
    several.append(found.several)
    assert several == [True] * VAIN_TRIES + [False, True, False], "after a while, one error more is enough"
    assert caplog.text.count("batches fail in flight") == 1
    found.close()
