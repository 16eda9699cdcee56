"""The question about the topic in the background, of a client that never answers."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.kafka import topics
from jobstatus_consumer.kafka.topics import Topics


class Client:
    """An admin client that keeps its questions."""

    def __init__(self) -> None:
        self.asked = 0

    def poll(self, seconds: float) -> int:
        return 0

    def describe_topics(self, names: Any, request_timeout: float) -> dict[str, Future[Any]]:
        self.asked += 1
        return {"job-status": Future()}


def test_a_question_without_an_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    client: Any = Client()
    settings = load_settings({"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    watching = Topics(settings, make_client=lambda properties: client)
    monkeypatch.setattr(topics, "WATCH_EVERY", 0.0)
    assert [watching.watch("job-status") for _ in range(2)] == [None, None]
    assert client.asked == 1
    monkeypatch.setattr(topics, "GIVE_UP_AFTER", 0.0)
    assert watching.watch("job-status") is None
    assert client.asked == 2
