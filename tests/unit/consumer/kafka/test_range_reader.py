"""When the reader takes a partition for read; the broker is played: a real one changes leaders when it likes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.errors import BrokerError
from jobstatus_consumer.kafka import range_reader as module
from jobstatus_consumer.kafka.range_reader import RangeReader


class Message:
    """A record of partition 0, or its end."""

    def __init__(self, offset: int, *, end: bool = False) -> None:
        self._offset = offset
        self._error = KafkaError(KafkaError._PARTITION_EOF) if end else None

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

    def describe(self, topic: str) -> None:
        pass

    def topic_id(self, topic: str) -> str:
        return "id"

    def partitions(self, topic: str) -> list[int]:
        return [0]

    def watch(self, topic: str) -> str:
        return "id"


def read(monkeypatch: pytest.MonkeyPatch, messages: Sequence[Message], end: int) -> tuple[list[int], dict[int, int]]:
    """The offsets that were read, and where the reader says it is."""
    monkeypatch.setattr(module, "make", lambda kind, properties: Consumer(messages))
    monkeypatch.setattr(module, "unfit", lambda *_: "")
    topics: Any = Topics()
    reader = RangeReader(load_settings({"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "nowhere:1"}), topics)
    chunks = reader.read([(0, 0, end)], {0: "log"}, lambda: False)
    return [raw.offset for chunk in chunks for raw in chunk], reader.positions


def test_an_end_below_the_wanted_one_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [Message(0), Message(1, end=True), Message(1), Message(2), Message(3, end=True)]
    assert read(monkeypatch, messages, 3) == ([0, 1, 2], {0: 3})


def test_what_is_left_up_to_the_end_may_be_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, [Message(0), Message(4, end=True)], 4) == ([0], {0: 4})
    assert read(monkeypatch, [Message(0), Message(6, end=True)], 4) == ([0], {0: 4})
    assert read(monkeypatch, [Message(4, end=True)], 4) == ([], {0: 4})


def test_a_broker_that_never_comes_to_the_end_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.0)
    with pytest.raises(BrokerError, match="has given nothing"):
        read(monkeypatch, [Message(0), Message(1, end=True)], 3)
