"""Records at the Kafka client: each ends once, whatever a signal handler interrupts and however late a callback is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError
from jobstatus_producer.delivery.in_flight import InFlight
from jobstatus_producer.delivery.transport import Done, Failure, FailureKind
from jobstatus_producer.record import Record
from support.memory_transport import MemoryLog, MemoryTransport
from support.spools import entry


class HandlerError(Exception):
    """What a signal handler raises."""


class Noted(InFlight):
    """Notes how each record ends."""

    def __init__(self) -> None:
        super().__init__()
        self.delivered: list[int] = []
        self.failed: list[tuple[int, FailureKind]] = []
        self.interrupt: Callable[[], None] = lambda: None

    def _delivered(self, record: Record) -> None:
        self.interrupt()
        self.delivered.append(record.seq)

    def _failed(self, record: Record, failure: Failure) -> None:
        assert len(self), "it is in flight until this returns"
        self.interrupt()
        self.failed.append((record.seq, failure.kind))

    def interrupt_once(self) -> None:
        """A signal handler raises in the next callback."""

        def raise_once() -> None:
            self.interrupt = lambda: None
            raise HandlerError

        self.interrupt = raise_once


class HandlerRaises(MemoryTransport):
    """A signal handler raises in the middle of a call of the client."""

    def send(self, key: bytes, value: bytes, done: Done, *, late: bool, traceparent: str | None) -> Failure | None:
        raise HandlerError


@pytest.fixture
def transport(log: MemoryLog) -> MemoryTransport:
    return MemoryTransport(log, "t")


def test_an_acknowledged_record_is_delivered(transport: MemoryTransport) -> None:
    found = Noted()
    assert found.hand_over(transport, entry(1))
    assert (len(found), found.bytes, found.delivered_count) == (1, len(entry(1).value), 0)
    assert found.oldest() == entry(1)
    transport.poll(0)
    assert (len(found), found.bytes, found.delivered_count) == (0, 0, 1)
    assert (found.delivered, found.failed, found.oldest()) == ([1], [], None)


def test_a_record_that_the_client_does_not_take_fails_at_once(log: MemoryLog, transport: MemoryTransport) -> None:
    found = Noted()
    log.has_room = False
    assert not found.hand_over(transport, entry(1))
    assert (len(found), found.delivered_count, found.failed) == (0, 0, [(1, FailureKind.TEMPORARY)])


def test_what_is_called_back_has_failed_and_what_has_no_callback_is_returned(
    log: MemoryLog, transport: MemoryTransport
) -> None:
    found = Noted()
    log.answers = False
    found.hand_over(transport, entry(1))
    assert found.call_back(transport, 0) == []
    assert found.failed == [(1, FailureKind.PURGED)]
    log.calls_back_purged = False
    found.hand_over(transport, entry(2))
    assert found.call_back(transport, 0) == [entry(2)]
    log.answers = True
    transport.poll(0)
    assert (found.delivered, found.delivered_count, len(found)) == ([], 0, 0), "a late callback changes nothing"


def test_a_failure_whose_callback_a_signal_handler_interrupts_is_not_lost(
    log: MemoryLog, transport: MemoryTransport
) -> None:
    found = Noted()
    log.answers = False
    found.hand_over(transport, entry(1))
    found.interrupt_once()
    with pytest.raises(HandlerError):
        transport.purge()
    assert found.failed == [(1, FailureKind.TEMPORARY)]
    assert (len(found), found.bytes, found.delivered_count) == (0, 0, 0)


def test_a_delivery_whose_callback_a_signal_handler_interrupts_stays_delivered(transport: MemoryTransport) -> None:
    found = Noted()
    found.hand_over(transport, entry(1))
    found.interrupt_once()
    with pytest.raises(HandlerError):
        transport.poll(0)
    assert (len(found), found.bytes, found.delivered_count, found.failed) == (0, 0, 1, [])


def test_a_call_that_a_signal_handler_interrupts_leaves_nothing_in_flight(log: MemoryLog) -> None:
    found = Noted()
    with pytest.raises(HandlerError):
        found.hand_over(HandlerRaises(log, "t"), entry(1))
    assert (len(found), found.bytes, found.delivered_count) == (0, 0, 0)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError._PURGE_QUEUE, FailureKind.PURGED),
        (KafkaError._FATAL, FailureKind.CLIENT_DEAD),
        (KafkaError._STATE, FailureKind.CLIENT_DEAD),
        (KafkaError.MSG_SIZE_TOO_LARGE, FailureKind.BATCH_REFUSED),
        (KafkaError._TRANSPORT, FailureKind.TEMPORARY),
    ],
)
def test_each_error_of_the_client_has_one_meaning(transport: MemoryTransport, code: int, kind: FailureKind) -> None:
    found = Noted()
    found.hand_over(transport, entry(1))
    transport.end(KafkaError(code))
    assert found.failed == [(1, kind)]
