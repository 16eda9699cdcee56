"""New certificates are tried with a client of their own, and a client that works is not given up for nothing."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from jobstatus_consumer.config import Settings, load_settings
from jobstatus_consumer.errors import SettingsError
from jobstatus_consumer.kafka import renewing
from jobstatus_consumer.kafka.renewing import NewCertificates, Renewing
from jobstatus_schemas import certificates
from support.certificates import Authority


class Client:
    """An admin client that answers its questions with `code`; with `None` it has what was asked for."""

    code: int | None = None

    def poll(self, seconds: float) -> int:
        return 0

    def describe_topics(self, topics: Any, request_timeout: float) -> dict[str, Future[Any]]:
        answer: Future[Any] = Future()
        if Client.code is None:
            answer.set_result(None)
        else:
            answer.set_exception(KafkaException(KafkaError(Client.code)))
        return {topics.topic_names[0]: answer}


def open_client(properties: dict[str, Any]) -> Any:
    return Client()


@pytest.fixture(autouse=True)
def files_are_looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(certificates, "SETTLES_IN", 0.0)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def settings(authority: Authority) -> Settings:
    own = authority.sign("consumer")
    variables = {
        "BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "SSL_CERTIFICATE_LOCATION": str(own.certificate),
        "SSL_KEY_LOCATION": str(own.key),
    }
    return load_settings({f"JOBSTATUS_KAFKA_{name}": value for name, value in variables.items()})


def test_certificates_of_a_user_without_rights_are_named_and_not_used(
    settings: Settings, authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A consumer that joined the group with them would end."""
    found = NewCertificates(settings, make_client=open_client)
    monkeypatch.setattr(Client, "code", KafkaError.TOPIC_AUTHORIZATION_FAILED)
    authority.sign("consumer")
    assert [found.accepted for _ in range(5)] == [False] * 5
    words = "new certificates are not used: the broker accepts them, but their user has no right DESCRIBE on the topic"
    assert caplog.text.count(words) == 1
    monkeypatch.setattr(Client, "code", KafkaError.UNKNOWN_TOPIC_OR_PART)
    assert [found.accepted for _ in range(2)] == [False, True], "any other answer proves them"


def test_the_client_that_tried_them_is_closed_once_they_are_accepted(settings: Settings, authority: Authority) -> None:
    """What still knows it may be in a cycle, which is collected seldom."""
    made: list[weakref.ref[Client]] = []

    def make_client(properties: dict[str, Any]) -> Any:
        client = Client()
        made.append(weakref.ref(client))
        return client

    gc.disable()
    try:
        found = NewCertificates(settings, make_client=make_client)
        authority.sign("consumer")
        assert [found.accepted for _ in range(3)] == [False, True, True]
        assert [client() for client in made] == [None]
    finally:
        gc.enable()


def test_a_client_that_cannot_be_made_is_made_once_the_certificates_were_accepted_again(
    settings: Settings, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token was missing, for example. Without another try the old client would go on until it is refused."""
    answers: list[Exception | str] = ["first", SettingsError("no token, so no login"), "second"]

    def make_client() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    trying = partial(NewCertificates, make_client=open_client)
    monkeypatch.setattr(renewing, "NewCertificates", trying)
    clients = Renewing(settings, make_client)
    authority.sign("consumer")
    assert [clients.get() for _ in range(4)] == ["first", "first", "second", "second"]
    assert clients.renewals == 1
