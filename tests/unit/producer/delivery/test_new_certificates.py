"""A worker whose certificates are replaced: nothing overtakes, nothing is lost, and wrong ones end nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jobstatus_producer import ProducerSettings
from jobstatus_producer.delivery import new_certificates, outbox
from jobstatus_producer.delivery.drain import Drain, Stop
from jobstatus_producer.delivery.outbox import Outbox
from jobstatus_producer.delivery.transport import Failure
from jobstatus_producer.errors import SettingsError
from jobstatus_producer.record import CheckedUpdate, new_event_id
from jobstatus_schemas import certificates
from support.certificates import Authority
from support.memory_transport import MemoryLog, MemoryTransport


class Broker(MemoryLog):
    """One that refuses clients, or whose library refuses their files, as long as `refuses` or `raises` says so."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[MemoryTransport] = []
        self.refuses = ""
        self.raises = ""
        self.raises_later = ""
        """for each client behind the second, which is the one that tries the certificates"""
        self.seconds = 0.0
        """how long an answer takes; a client that waits less gets none"""
        self.waits: list[float] = []

    def open(self, topic: str, properties: Any, max_records: int, on_error: Any) -> MemoryTransport:
        if self.raises or (self.raises_later and len(self.opened) >= 2):
            raise SettingsError(self.raises or self.raises_later)
        found = _Client(self, topic)
        self.opened.append(found)
        return found


class _Client(MemoryTransport):
    def __init__(self, broker: Broker, topic: str) -> None:
        super().__init__(broker, topic)
        self._broker = broker

    def reach(self, seconds: float) -> Failure | None:
        self._broker.waits.append(seconds)
        if seconds < self._broker.seconds:
            return Failure("_TIMED_OUT")
        return Failure(self._broker.refuses) if self._broker.refuses else None


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def sending(authority: Authority, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outbox]:
    """An outbox whose files are looked at each time."""
    own = authority.sign("worker")
    for name in ("LOOK_EVERY", "SETTLES_IN"):
        monkeypatch.setattr(certificates, name, 0.0)
    monkeypatch.setattr(new_certificates, "ANSWERS_WITHIN", -1.0)
    monkeypatch.setattr(outbox, "CALL_BACK_SECONDS", 0.05)
    kafka = {
        "bootstrap.servers": "127.0.0.1:1",
        "ssl.certificate.location": str(own.certificate),
        "ssl.key.location": str(own.key),
    }
    found = Outbox(ProducerSettings(kafka=kafka), open_transport=broker.open)
    yield found
    found.give_up(0)


def report(sending: Outbox, *statuses: str) -> None:
    for status in statuses:
        assert sending.put([CheckedUpdate("job", status, None, None, None, None, new_event_id())])


def look(sending: Outbox, times: int = 2) -> None:
    for _ in range(times):
        sending.use_new_certificates()


def drained(sending: Outbox) -> None:
    drain = Drain(sending, Stop())
    sending.poll(0)
    while sending.may_drain:
        drain.step()


def test_what_the_old_client_has_is_delivered_before_anything_goes_to_the_new_one(
    sending: Outbox, broker: Broker, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "jobstatus.producer")
    report(sending, "first", "second")
    authority.sign("worker")
    look(sending)
    report(sending, "third")
    drained(sending)
    assert broker.shown() == [("first", False), ("second", False), ("third", False)]
    assert len(broker.opened) == 3, "the first client, the trial, and the one with the new certificates"
    assert "the certificates have changed; a new Kafka client uses the new ones, one that expires at" in caplog.text
    look(sending, 4)
    assert len(broker.opened) == 3


def test_what_the_old_client_cannot_deliver_goes_to_the_new_one_in_order(
    sending: Outbox, broker: Broker, authority: Authority
) -> None:
    broker.answers = False
    report(sending, "first", "second")
    authority.sign("worker")
    look(sending)
    report(sending, "third")
    broker.answers = True
    drained(sending)
    assert broker.rows() == ["first", "second", "third"]
    assert [event.status for event in broker.events][2:] == ["first", "second", "third"]
    assert sending.unsettled(sending.newest_accepted) == 0


def test_wrong_certificates_keep_the_old_client_and_are_named_once(
    sending: Outbox, broker: Broker, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    first = broker.opened[0]
    other = authority.sign("other")
    path = authority.sign("worker").certificate
    path.write_bytes(other.certificate.read_bytes())
    broker.raises = "ssl.key.location: key values mismatch"
    look(sending, 5)
    report(sending, "delivered")
    sending.poll(0)
    assert broker.opened == [first]
    assert [event.status for event in broker.events] == ["delivered"]
    words = f"new certificates are not used: the key in {path.with_suffix('.key')} does not belong to the certificate"
    assert caplog.text.count("new certificates are not used") == caplog.text.count(words) == 1


def test_certificates_that_no_broker_accepts_are_tried_again_and_named_once(
    sending: Outbox, broker: Broker, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    authority.sign("worker")
    broker.refuses = "_SSL: certificate unknown"
    look(sending, 5)
    assert len(broker.opened) == 2
    assert caplog.text.count("new certificates are not used: _SSL: certificate unknown") == 1
    broker.refuses = ""
    look(sending, 1)
    assert len(broker.opened) == 3


def test_a_broker_that_answers_slowly_accepts_new_certificates_too(
    sending: Outbox, broker: Broker, authority: Authority
) -> None:
    authority.sign("worker")
    broker.seconds = 1.0
    look(sending, 1 + len(new_certificates.REACH_SECONDS))
    assert len(broker.opened) == 3


def test_certificates_that_are_refused_keep_the_thread_waiting_for_half_of_its_time_at_most(
    sending: Outbox, broker: Broker, authority: Authority
) -> None:
    """There is a look each second."""
    authority.sign("worker")
    broker.refuses = "_SSL: certificate unknown"
    look(sending, 41)
    waited = sum(broker.waits)
    assert waited / (waited + 40) < 0.5


def test_a_new_client_that_cannot_be_made_is_tried_again(sending: Outbox, broker: Broker, authority: Authority) -> None:
    """The certificates are accepted, but there is no token, or no file of the registry's."""
    authority.sign("worker")
    broker.raises_later = "no token, so no login"
    look(sending)
    report(sending, "first")
    assert len(broker.opened) == 2
    broker.raises_later = ""
    look(sending)
    report(sending, "second")
    drained(sending)
    assert len(broker.opened) == 4, "the first client, two that tried, and the one with the new certificates"
    assert broker.rows() == ["first", "second"]


def test_a_trial_ends_once_the_files_are_what_they_were(sending: Outbox, broker: Broker, authority: Authority) -> None:
    path = authority.sign("other").certificate.with_name("worker.pem")
    before = path.read_bytes()
    authority.sign("worker")
    broker.refuses = "_SSL: certificate unknown"
    look(sending)
    path.write_bytes(before)
    path.with_suffix(".key").write_bytes(b"not read again yet")
    broker.refuses = ""
    look(sending, 1)
    assert len(broker.opened) == 2
