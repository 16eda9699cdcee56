"""When the reader has read a partition. The broker is a fake, since a real one changes leaders at its own time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.errors import BrokerError, OffsetsLostError
from jobstatus_consumer.kafka.range_reader import RangeReader
from jobstatus_consumer.kafka.topics import TopicFacts


class Message:
    """A record of partition 0, its end, or an error."""

    def __init__(self, offset: int, *, end: bool = False, code: int = 0) -> None:
        self._offset = offset
        self._error = KafkaError(KafkaError._PARTITION_EOF if end else code) if end or code else None

    def error(self) -> KafkaError | None:
        return self._error

    def offset(self) -> int:
        return self._offset

    def partition(self) -> int:
        return 0

    def headers(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return 1, 0

    def key(self) -> bytes:
        return b"job-1"

    def value(self) -> bytes:
        return b"value"


class Consumer:
    """Gives one message at each poll, and then nothing."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = list(messages)
        self.assigned = False

    def poll(self, timeout: float) -> Message | None:
        return self._messages.pop(0) if self._messages and self.assigned else None

    def consume(self, limit: int, timeout: float) -> list[Message]:
        return []

    def assign(self, partitions: object) -> None:
        self.assigned = True

    def incremental_unassign(self, partitions: object) -> None:
        self.assigned = False

    def unassign(self) -> None:
        pass

    def list_topics(self, *_: object, **__: object) -> None:
        pass


class Topics:
    """One topic of one partition."""

    def describe(self, topic: str) -> TopicFacts:
        return TopicFacts(topic, "id", 1, 1, {})

    def topic_id(self, topic: str) -> str:
        return "id"

    def partitions(self, topic: str) -> list[int]:
        return [0]

    def watch(self, topic: str) -> str:
        return "id"


def read(messages: Sequence[Message], end: int, **options: Any) -> tuple[list[int], dict[int, int]]:
    """The offsets that were read, and the reader's positions afterwards."""
    topics: Any = Topics()
    consumer: Any = Consumer(messages)
    settings = load_settings({"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "nowhere:1"})
    reader = RangeReader(settings, topics, make_client=lambda properties: consumer, **options)
    chunks = reader.read([(0, 0, end)], {0: "log"}, lambda: False)
    return [raw.offset for chunk in chunks for raw in chunk], reader.positions


def test_an_end_below_the_wanted_one_is_not_believed() -> None:
    messages = [Message(0), Message(1, end=True), Message(1), Message(2), Message(3, end=True)]
    assert read(messages, 3) == ([0, 1, 2], {0: 3})


def test_the_offsets_before_the_end_may_have_no_record() -> None:
    assert read([Message(0), Message(4, end=True)], 4) == ([0], {0: 4})
    assert read([Message(0), Message(6, end=True)], 4) == ([0], {0: 4})
    assert read([Message(4, end=True)], 4) == ([], {0: 4})


def test_a_broker_that_never_comes_to_the_end_is_silent() -> None:
    with pytest.raises(BrokerError, match="has given nothing"):
        read([Message(0), Message(1, end=True)], 3, silence_seconds=0.0)


@pytest.mark.parametrize(
    ("code", "expected", "text"),
    [
        (KafkaError.OFFSET_OUT_OF_RANGE, OffsetsLostError, "no longer has what comes next"),
        (KafkaError._UNKNOWN_PARTITION, OffsetsLostError, "is gone"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, BrokerError, "reading job-status"),
    ],
)
def test_an_error_in_place_of_a_record_ends_the_read(code: int, expected: type[Exception], text: str) -> None:
    with pytest.raises(expected, match=text):
        read([Message(0), Message(1, code=code)], 3)


def test_an_error_that_passes_does_not_end_the_read() -> None:
    assert read([Message(0, code=KafkaError._TRANSPORT), Message(0), Message(1)], 2) == ([0, 1], {0: 2})
