"""A question to the broker is asked again while the answer may yet come, and not where it never will."""

from __future__ import annotations

import contextlib
import os
import signal
from threading import Event
from typing import NoReturn

import pytest
from confluent_kafka import KafkaError, KafkaException
from jobstatus_consumer.errors import BrokerAwayError, BrokerError, StopRequestedError
from jobstatus_consumer.kafka.client import ask
from jobstatus_consumer.signals import handled_by, stop_at_once


class Broker:
    """Answers with an error so many times, and then with 7."""

    def __init__(self, code: int, times: int) -> None:
        self.asked = 0
        self._code = code
        self._times = times

    def __call__(self) -> int:
        self.asked += 1
        if self.asked <= self._times:
            raise KafkaException(KafkaError(self._code))
        return 7


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._TRANSPORT,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        # a broker that has just been started again told the client of fewer partitions than there are
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._DESTROY_BROKER,
        KafkaError.OFFSET_NOT_AVAILABLE,
    ],
)
def test_a_passing_error_is_asked_away(code: int) -> None:
    broker = Broker(code, 2)
    assert ask("asking", broker) == 7
    assert broker.asked == 3


def test_an_answer_that_does_not_come_is_told_as_one_that_may_yet() -> None:
    with pytest.raises(BrokerAwayError, match="asking for it: "):
        ask("asking for it", Broker(KafkaError._TIMED_OUT, 10**6), patience=0.3)


def test_a_future_that_does_not_end_is_asked_again() -> None:
    asked = []

    def question() -> int:
        asked.append(1)
        if len(asked) == 1:
            raise TimeoutError
        return 7

    assert ask("asking", question) == 7


def test_a_stop_ends_a_question_that_waits_and_no_other_work() -> None:
    stop = Event()

    def question() -> NoReturn:
        os.kill(os.getpid(), signal.SIGINT)
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    def swallowing() -> NoReturn:
        # as the library does where it calls back
        with contextlib.suppress(StopRequestedError):
            os.kill(os.getpid(), signal.SIGINT)
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    with handled_by(stop_at_once(stop)):
        with pytest.raises(StopRequestedError, match="asking for it: stopped before the broker answered"):
            ask("asking for it", question)
        assert stop.is_set()
        stop.clear()
        with pytest.raises(StopRequestedError):
            ask("asking", swallowing)
        stop.clear()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set(), "outside of a question it is noted only"


@pytest.mark.parametrize(
    "code", [KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._SSL]
)
def test_any_other_error_is_told_at_once(code: int) -> None:
    broker = Broker(code, 1)
    with pytest.raises(BrokerError, match="asking for it: ") as caught:
        ask("asking for it", broker)
    assert broker.asked == 1
    assert not isinstance(caught.value, BrokerAwayError)
