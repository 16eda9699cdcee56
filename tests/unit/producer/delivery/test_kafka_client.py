"""The Kafka client that cannot be made anew now, such as while there is no token for its login, or is closed then."""

from __future__ import annotations

from typing import Any

from jobstatus_producer.delivery.acks import Acks
from jobstatus_producer.delivery.kafka_client import KafkaClient
from jobstatus_producer.delivery.transport import Failure, FailureKind
from jobstatus_producer.errors import SettingsError
from jobstatus_producer.settings import ProducerSettings
from support.memory_transport import MemoryLog, MemoryTransport


def test_a_dead_client_stays_until_another_one_can_be_made() -> None:
    acks = Acks()
    answers: list[Any] = []

    def open_transport(*_: object) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    log = MemoryLog()
    first, second = MemoryTransport(log, "topic"), MemoryTransport(log, "topic")
    answers += [first, SettingsError("no token, so no login"), second]
    client = KafkaClient(ProducerSettings(kafka={"bootstrap.servers": "nowhere:9092"}), acks, open_transport)
    client.note(Failure("dead", FailureKind.CLIENT_DEAD))
    client.renew_if_dead()
    assert client.transport is first
    assert client.is_dead
    assert acks.last_error == "no token, so no login"
    client.renew_if_dead()
    assert client.transport is second
    assert not client.is_dead


def test_a_client_that_is_opened_while_the_producer_is_closed_is_closed_too() -> None:
    """The sender's thread opens it, and may take longer for that than the closing waits for the thread."""
    opened: list[Closable] = []

    def open_transport(*_: object) -> Any:
        if opened:
            client.close()
        opened.append(Closable(MemoryLog(), "topic"))
        return opened[-1]

    client = KafkaClient(ProducerSettings(kafka={"bootstrap.servers": "nowhere:9092"}), Acks(), open_transport)
    client.note(Failure("dead", FailureKind.CLIENT_DEAD))
    client.renew_if_dead()
    assert [transport.closed for transport in opened] == [True, True]


class Closable(MemoryTransport):
    """Remembers that it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True
