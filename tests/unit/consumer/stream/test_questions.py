"""The thread that asks for slow metrics: who asks, how often, and what is shown while nothing is known."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

import pytest
from jobstatus_consumer.errors import BrokerAwayError, DatabaseAwayError
from jobstatus_consumer.stream import questions
from jobstatus_consumer.stream.questions import SlowQuestions
from jobstatus_consumer.telemetry.families import Labels
from jobstatus_consumer.telemetry.metrics import Metrics
from support.waiting import until

Series = Mapping[Labels, float]


class Server:
    """Answers with `answer`, or raises it."""

    def __init__(self, answer: Series | Exception) -> None:
        self.answer = answer
        self.asked = 0
        self.has_first_partition = True
        self.interrupted, self.closed = threading.Event(), threading.Event()

    def ask(self) -> Series:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


Start = Callable[..., tuple[Server, Metrics]]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr(questions, "LOOK_AGAIN", 0.01)
    running = []

    def started(answer: Series | Exception, *, is_asked: bool = True, every: float = 0.01) -> tuple[Server, Metrics]:
        server, metrics = Server(answer), Metrics()
        server.has_first_partition = is_asked
        found = SlowQuestions(lambda: server.has_first_partition, server.interrupted.set, server.closed.set)
        found.add("overdue jobs", metrics.overdue, server.ask, every)
        running.append((found, server))
        found.start()
        return server, metrics

    yield started
    for found, server in running:
        found.close()
        assert server.interrupted.is_set()
        assert server.closed.wait(10)


def shown(metrics: Metrics) -> Series:
    return metrics.overdue.read()


def test_the_counts_are_shown_and_asked_for_again(start: Start) -> None:
    server, metrics = start({("processing",): 3})
    until(lambda: server.asked > 2, "it asks again")
    until(lambda: shown(metrics) == {("processing",): 3.0}, "the metric")
    server.answer = {("processing",): 0}
    until(lambda: shown(metrics) == {("processing",): 0.0}, "the metric follows")


@pytest.mark.parametrize("error", [DatabaseAwayError("connection lost"), BrokerAwayError("no broker answers")])
def test_while_no_answer_comes_no_number_is_shown(start: Start, error: Exception) -> None:
    server, metrics = start({("processing",): 3})
    until(lambda: shown(metrics) == {("processing",): 3.0}, "the metric")
    server.answer = error
    until(lambda: shown(metrics) == {}, "no number")
    server.answer = {("processing",): 4}
    until(lambda: shown(metrics) == {("processing",): 4.0}, "the next number")


def test_a_member_without_partition_0_does_not_ask(start: Start) -> None:
    looked = threading.Event()
    server, metrics = Server({("processing",): 3}), Metrics()

    def has_it() -> bool:
        looked.set()
        return False

    found = SlowQuestions(has_it, server.interrupted.set, server.closed.set)
    found.add("overdue jobs", metrics.overdue, server.ask, 0.01)
    found.start()
    assert looked.wait(10)
    found.close()
    assert (server.asked, shown(metrics)) == (0, {})


def test_a_member_that_loses_partition_0_shows_nothing_and_asks_at_once_when_it_is_back(start: Start) -> None:
    server, metrics = start({("processing",): 3}, every=3600)
    until(lambda: shown(metrics), "the metric")
    server.has_first_partition = False
    until(lambda: not shown(metrics), "the other member shows it now")
    server.has_first_partition = True
    until(lambda: shown(metrics), "the metric is back, long before the hour is over")
    assert server.asked == 2


def test_a_question_that_takes_long_is_asked_rarely(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "SHARE", 10**9)
    server, metrics = start({("processing",): 3})
    until(lambda: shown(metrics), "the metric")
    looks = iter(range(20))
    until(lambda: next(looks, None) is None, "the thread has gone around again", every=0.01)
    assert server.asked == 1


def test_a_question_that_is_refused_again_and_again_is_logged_once(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "jobstatus.consumer")
    server, _ = start(BrokerAwayError("not allowed to read the dead letters"))
    until(lambda: server.asked > 3, "it asks again")
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["overdue jobs: not known for the metrics: not allowed to read the dead letters"]
