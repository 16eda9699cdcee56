"""A batch goes on only when the broker has acknowledged each of its dead letters. The library is a fake."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.core.dead_letters import DeadLetter
from jobstatus_consumer.errors import DeadLetterError
from jobstatus_consumer.kafka.dead_letters import DeadLetterSender

Report = Callable[[KafkaError | None, object], None]

LETTER = DeadLetter(b"job-1", b"value", 1_000, ())


class Library:
    """A producer that reports on one dead letter at each poll, with the next of `errors` (None: acknowledged)."""

    def __init__(self, *errors: int | None) -> None:
        self.errors = list(errors)
        self.refuses: Exception | None = None
        self.has_ended: KafkaError | None = None
        self.reports: list[Report] = []
        self.flushed = 0.0
        self.now = 0.0

    def produce(self, _topic: str, *, on_delivery: Report, **_record: object) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.reports.append(on_delivery)

    def poll(self, seconds: float) -> None:
        self.now += seconds
        if self.has_ended is not None:
            raise KafkaException(self.has_ended)
        if self.reports and self.errors:
            code = self.errors.pop(0)
            self.reports.pop(0)(None if code is None else KafkaError(code), None)

    def flush(self, seconds: float) -> None:
        self.flushed = seconds


def sender_over(library: Library) -> DeadLetterSender:
    made: Any = library
    settings = load_settings({"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "nowhere:1"})
    return DeadLetterSender(settings, make_client=lambda properties: made, clock=lambda: library.now)


def failure(library: Library, letters: Sequence[DeadLetter] = (LETTER, LETTER)) -> DeadLetterError:
    with pytest.raises(DeadLetterError) as caught:
        sender_over(library).send(letters)
    return caught.value


def test_it_returns_when_every_one_is_acknowledged() -> None:
    library = Library(None, None, None)
    sender = sender_over(library)
    sender.send([LETTER, LETTER])
    assert not library.reports
    sender.close()
    assert library.flushed > 0


@pytest.mark.parametrize(
    ("code", "retriable"),
    [
        (KafkaError._MSG_TIMED_OUT, True),
        (KafkaError.NOT_LEADER_FOR_PARTITION, True),
        (KafkaError.MSG_SIZE_TOO_LARGE, False),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, False),
    ],
)
def test_a_failed_one_is_reported_after_all_have_ended(code: int, retriable: bool) -> None:
    library = Library(code, None)
    found = failure(library)
    assert not library.reports
    assert found.retriable is retriable
    assert "the broker refuses 1 dead letter to job-status.dlq" in str(found)
    assert ("nothing behind them is committed" in str(found)) is not retriable


def test_one_without_an_answer_is_given_up_and_may_be_sent_again() -> None:
    library = Library(None)
    found = failure(library)
    assert found.retriable
    assert "1 dead letters to job-status.dlq are not acknowledged" in str(found)
    assert 30 < library.now < 40


def test_a_late_answer_does_not_count_for_a_later_call() -> None:
    library = Library()
    sender = sender_over(library)
    with pytest.raises(DeadLetterError):
        sender.send([LETTER])
    library.errors = [KafkaError._MSG_TIMED_OUT, None]
    sender.send([LETTER])
    assert not library.reports


def test_a_full_queue_may_be_tried_again() -> None:
    library = Library()
    library.refuses = BufferError()
    assert failure(library).retriable


def test_a_final_error_of_the_client_is_reported_as_such_behind_a_full_queue_too() -> None:
    library = Library()
    library.refuses = BufferError()
    library.has_ended = KafkaError(KafkaError._FATAL, "the client has ended", True)
    found = failure(library)
    assert not found.retriable
    assert "the broker refuses 1 dead letter to job-status.dlq" in str(found)


def test_one_that_the_library_refuses_is_not_sent_again() -> None:
    library = Library()
    library.refuses = KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    assert not failure(library).retriable
