"""The thread that counts overdue jobs: who asks, how often, and what is shown while the database is unavailable."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

import pytest
from jobstatus_consumer.errors import DatabaseAwayError
from jobstatus_consumer.stream import overdue
from jobstatus_consumer.stream.overdue import OverdueWatch
from jobstatus_consumer.telemetry.metrics import Metrics
from support.waiting import until

DEADLINES = {"processing": 900}


class Table:
    """Answers with `answer`, or raises it."""

    def __init__(self, answer: Mapping[str, int] | Exception) -> None:
        self.answer = answer
        self.asked = 0
        self.closed = threading.Event()

    def counts(self, deadlines: Mapping[str, int], now: float) -> dict[str, int]:
        assert (deadlines, now > 0) == (DEADLINES, True)
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return dict(self.answer)

    def cancel(self, timeout: float = 2.0) -> None:
        pass

    def close(self) -> None:
        self.closed.set()


Start = Callable[..., tuple[Table, Metrics]]


@pytest.fixture
def start() -> Iterator[Start]:
    watches = []

    def started(answer: Mapping[str, int] | Exception, *, is_asked: bool = True) -> tuple[Table, Metrics]:
        table, metrics = Table(answer), Metrics()
        watch = OverdueWatch(table, DEADLINES, metrics, lambda: is_asked, every=0.01)
        watches.append((watch, table))
        watch.start()
        return table, metrics

    yield started
    for watch, table in watches:
        watch.close()
        assert table.closed.wait(10)


def shown(metrics: Metrics) -> dict[str, float]:
    (family,) = metrics.overdue.collect()
    return {sample.labels["status"]: sample.value for sample in family.samples}


def test_the_counts_are_shown_and_asked_for_again(start: Start) -> None:
    table, metrics = start({"processing": 3})
    until(lambda: table.asked > 2, "it asks again")
    until(lambda: shown(metrics) == {"processing": 3.0}, "the metric")
    table.answer = {"processing": 0}
    until(lambda: shown(metrics) == {"processing": 0.0}, "the metric follows")


def test_while_the_database_is_unavailable_no_number_is_shown(start: Start) -> None:
    table, metrics = start({"processing": 3})
    until(lambda: shown(metrics) == {"processing": 3.0}, "the metric")
    table.answer = DatabaseAwayError("connection lost")
    until(lambda: shown(metrics) == {}, "no number")
    table.answer = {"processing": 4}
    until(lambda: shown(metrics) == {"processing": 4.0}, "the next number")


def test_a_member_without_partition_0_does_not_ask(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = threading.Event()

    def has_it() -> bool:
        looked.set()
        return False

    monkeypatch.setattr(overdue, "LOOK_AGAIN", 0.01)
    table, metrics = Table({"processing": 3}), Metrics()
    watch = OverdueWatch(table, DEADLINES, metrics, has_it, every=0.01)
    watch.start()
    assert looked.wait(10)
    watch.close()
    assert (table.asked, shown(metrics)) == (0, {})
