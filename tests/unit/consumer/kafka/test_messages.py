"""The one translation of the library's messages: to a record, or to what the error in its place means."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, Message
from jobstatus_consumer.kafka.error_codes import may_pass
from jobstatus_consumer.kafka.messages import Meaning, meaning_of, raw_record
from jobstatus_consumer.records import RawRecord


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (KafkaError._PARTITION_EOF, Meaning.END_OF_PARTITION),
        (KafkaError._AUTO_OFFSET_RESET, Meaning.OFFSETS_LOST),
        (KafkaError.OFFSET_OUT_OF_RANGE, Meaning.OFFSETS_LOST),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, Meaning.TOPIC_REMOVED),
        (KafkaError._UNKNOWN_PARTITION, Meaning.TOPIC_REMOVED),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, Meaning.REFUSED),
        (KafkaError._AUTHENTICATION, Meaning.REFUSED),
        (KafkaError._TRANSPORT, Meaning.PASSING),
        (KafkaError._MAX_POLL_EXCEEDED, Meaning.PASSING),
        (KafkaError.NOT_LEADER_FOR_PARTITION, Meaning.PASSING),
    ],
)
def test_an_error_is_judged_by_its_code(code: int, expected: Meaning) -> None:
    assert meaning_of(KafkaError(code)) is expected


def test_a_fatal_error_is_a_refusal_whatever_its_code() -> None:
    assert meaning_of(KafkaError(KafkaError._STATE, "fenced", fatal=True)) is Meaning.REFUSED


def test_a_removed_topic_ends_a_read_but_a_question_about_it_may_be_asked_again() -> None:
    # a broker that has just started may know of fewer partitions than there are
    assert may_pass(KafkaError(KafkaError._UNKNOWN_PARTITION))
    assert not may_pass(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))


@pytest.mark.parametrize("headers", [[], [("late", b"1"), ("x", None)]])
def test_every_field_of_a_record_has_its_place(headers: Any) -> None:
    message = Message(
        topic="t", partition=3, offset=7, timestamp=(1, 1234), key=b"job-1", value=b"value", headers=headers or None
    )
    found = raw_record(message, "t", 3, 7, "log")
    assert found == RawRecord(
        topic="t",
        partition=3,
        offset=7,
        timestamp=1234,
        key=b"job-1",
        value=b"value",
        headers=headers or (),
        log_id="log",
    )
    assert type(found) is RawRecord
