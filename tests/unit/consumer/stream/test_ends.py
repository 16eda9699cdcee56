"""The ends of one membership: each part is ended, in order, although another one fails."""

from __future__ import annotations

from typing import Any

import pytest
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.stream import app
from jobstatus_consumer.stream.app import ConsumeOptions, ConsumerRun


class Part:
    """Stands for one part of a member, and notes its ends."""

    def __init__(self, name: str, ended: list[str], error: Exception | None = None) -> None:
        self._name = name
        self._ended = ended
        self._error = error

    def start(self) -> None:
        """The writer's."""

    def stop(self) -> None:
        self._ended.append(f"stop {self._name}")

    def close(self, *_: float) -> None:
        self._ended.append(f"close {self._name}")
        if self._error is not None:
            raise self._error


def test_each_part_is_ended_although_another_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    parts = {
        "Writer": Part("writer", ended),
        "asked_schemas": Part("schemas", ended),
        "Pipeline": Part("pipeline", ended),
        "store_of": Part("store", ended),
    }
    for name, part in parts.items():
        monkeypatch.setattr(app, name, lambda *_, part=part, **__: part)
    settings = load_settings({"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "nowhere:1"})
    topics: Any = object()
    consumer: Any = Part("consumer", ended)
    sender: Any = Part("sender", ended, OSError("no file descriptor"))
    run = ConsumerRun(settings, ConsumeOptions(), topics, lambda _: None, None)
    with pytest.raises(OSError, match="no file descriptor"), run._joined(consumer, sender):
        assert ended == []
    assert ended == ["stop schemas", "close writer", "close sender", "close schemas"]
