"""The ends of partitions are asked for in the background; an answer that does not come keeps the last one."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from jobstatus_consumer.kafka.ends import ASK_EVERY, GIVE_UP_AFTER, EndOffsets


class Broker:
    """Keeps the questions; the test answers them."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked: list[dict[int, Future[Any]]] = []
        self.ends = EndOffsets(self.ask, lambda: self.now)

    def ask(self, numbers: list[int]) -> dict[int, Future[Any]]:
        self.asked.append({number: Future() for number in numbers})
        return self.asked[-1]

    def answer(self, **offsets: int | None) -> None:
        for name, offset in offsets.items():
            future = self.asked[-1][int(name[1:])]
            if offset is None:
                future.set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
            else:
                future.set_result(SimpleNamespace(offset=offset))


def test_an_answer_is_collected_by_a_later_look_and_asked_for_again_after_a_while() -> None:
    broker = Broker()
    assert broker.ends.of(0) == 0
    broker.ends.watch([0, 1])
    broker.answer(p0=7)
    broker.ends.watch([0, 1])
    assert broker.ends.of(0) == 0, "the other partition has not answered"
    broker.answer(p1=9)
    broker.ends.watch([0, 1])
    assert (broker.ends.of(0), broker.ends.of(1)) == (7, 9)
    assert len(broker.asked) == 1
    broker.now += ASK_EVERY
    broker.ends.watch([1])
    assert [sorted(question) for question in broker.asked] == [[0, 1], [1]]


def test_without_an_answer_the_last_one_counts() -> None:
    broker = Broker()
    broker.ends.watch([0, 1])
    broker.answer(p0=7, p1=9)
    broker.now += ASK_EVERY
    broker.ends.watch([0, 1])
    broker.answer(p0=None, p1=-1)
    broker.ends.watch([0, 1])
    assert (broker.ends.of(0), broker.ends.of(1)) == (7, 9)


def test_a_client_that_was_replaced_before_its_answer_is_not_waited_for() -> None:
    """It never gives one: neither an offset nor an error."""
    broker = Broker()
    broker.ends.watch([0, 1])
    broker.answer(p0=7)
    broker.now += GIVE_UP_AFTER - 1
    broker.ends.watch([0, 1])
    assert len(broker.asked) == 1
    broker.now += 1
    broker.ends.watch([0, 1])
    assert broker.ends.of(0) == 7
    broker.answer(p0=8, p1=9)
    broker.ends.watch([0, 1])
    assert (broker.ends.of(0), broker.ends.of(1)) == (8, 9)


def test_without_a_partition_nothing_is_asked() -> None:
    broker = Broker()
    broker.ends.watch([])
    assert broker.asked == []
