"""What a drain hands to the client: what may be in the log already goes out as late, and no wait is without an end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError
from jobstatus_consumer.core.decode import decode
from jobstatus_consumer.core.rule import RowState, advance, decide
from jobstatus_consumer.records import Event, RawRecord
from jobstatus_producer import ProducerSettings
from jobstatus_producer.clock import PROCESS_CLOCK
from jobstatus_producer.delivery import drain
from jobstatus_producer.delivery.drain import Drain, Stop
from jobstatus_producer.delivery.outbox import Outbox, Report, new_event_id
from jobstatus_producer.delivery.transport import Done, Failure
from jobstatus_producer.record import now_micros
from jobstatus_producer.spool import database
from jobstatus_producer.spool.file import SpoolFile
from jobstatus_schemas.protocol import LATE_HEADER
from support.spools import entry


class Log:
    """A broker in place of the transport: what it was given is in its log, whether its answer arrives or not."""

    def __init__(self) -> None:
        self.records: list[RawRecord] = []
        self.answers = True
        self.tells_of_purged = True
        self.has_room = True
        self.cannot_take: set[bytes] = set()
        self._under_way: list[Done] = []

    def send(self, key: bytes, value: bytes, done: Done, *, late: bool, traceparent: str | None) -> Failure | None:
        if value in self.cannot_take:
            raise UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed")
        if not self.has_room:
            return Failure("the client's queue is full")
        headers = [(LATE_HEADER, b"1")] if late else []
        self.records.append(RawRecord("t", 0, len(self.records), -1, key, value, headers, "t/id/0"))
        self._under_way.append(done)
        return None

    def poll(self, seconds: float) -> None:
        if self.answers:
            self._end(None)

    def purge(self) -> None:
        if self.tells_of_purged:
            self._end(KafkaError(KafkaError._PURGE_INFLIGHT))

    def close(self) -> None:
        self.purge()

    def _end(self, error: KafkaError | None) -> None:
        ended, self._under_way = self._under_way, []
        for done in ended:
            done(error, None)

    @property
    def events(self) -> list[Event]:
        found = [decode(record) for record in self.records]
        assert all(isinstance(event, Event) for event in found)
        return [event for event in found if isinstance(event, Event)]

    def rows(self) -> list[str]:
        """The statuses that a row shows, one after the other."""
        state: RowState | None = None
        shown = []
        for event in self.events:
            if decide(state, event) == "applied":
                shown.append(event.status)
            state = advance(state, event)
        return shown

    def shown(self) -> list[tuple[str, bool]]:
        return [(event.status, event.late) for event in self.events]


OpenOutbox = Callable[..., Outbox]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    found = Log()
    monkeypatch.setattr(Outbox, "open_transport", lambda _outbox: found)
    # nothing here grows old, however slow the machine is
    monkeypatch.setattr(drain, "now_micros", lambda: PROCESS_CLOCK._last)
    return found


@pytest.fixture
def open_outbox(log: Log, tmp_path: Path) -> Iterator[OpenOutbox]:
    made: list[Outbox] = []

    def make(*, durable: bool = False) -> Outbox:
        settings = ProducerSettings(
            kafka={"bootstrap.servers": "127.0.0.1:1"}, spool_dir=tmp_path / "spool", durable=durable
        )
        made.append(Outbox(settings))
        return made[-1]

    yield make
    for outbox in made:
        outbox.backlog.close()


def put(outbox: Outbox, *statuses: str) -> None:
    assert outbox.put([Report("job", status, None, None, None, None, new_event_id()) for status in statuses])


def try_in_vain(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step whose chunk is not acknowledged in time."""
    with monkeypatch.context() as patch:
        patch.setattr(drain, "CHUNK_SECONDS", 0.0)
        Drain(outbox, Stop()).step()


def die(outbox: Outbox) -> None:
    """Nothing is written or removed any more, and the operating system lets go of the locks."""
    for file in outbox.backlog._files():
        file.release()


@pytest.mark.parametrize("durable", [True, False])
def test_what_a_taken_over_spool_holds_never_sets_a_row_back(
    open_outbox: OpenOutbox, log: Log, durable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = open_outbox(durable=durable)
    killed.direct = False
    put(killed, "processing", "success")
    with monkeypatch.context() as patch:
        # the process dies between the acknowledgement and the deletion
        patch.setattr(SpoolFile, "remove", lambda _file, _entries: None)
        Drain(killed, Stop()).step()
    die(killed)
    again = open_outbox(durable=durable)
    Drain(again, Stop()).step()
    assert log.shown() == [("processing", False), ("success", False), ("processing", True), ("success", True)]
    assert [event.content.event_id for event in log.events[:2]] == [event.content.event_id for event in log.events[2:]]
    assert log.rows() == ["processing", "success"], "the copies change nothing"
    assert len(again.backlog) == 0


@pytest.mark.parametrize("durable", [True, False])
def test_what_was_tried_before_is_late_and_what_was_not_goes_by_its_age(
    open_outbox: OpenOutbox, log: Log, durable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = open_outbox(durable=durable)
    outbox.direct = False
    put(outbox, "processing", "success")
    log.answers = False
    try_in_vain(outbox, monkeypatch)
    put(outbox, "archived")
    log.answers = True
    Drain(outbox, Stop()).step()
    assert log.shown()[2:] == [("processing", True), ("success", True), ("archived", False)]
    assert log.rows() == ["processing", "success", "archived"]
    assert len(outbox.backlog) == 0


def test_after_a_takeover_the_numbers_add_up(open_outbox: OpenOutbox, log: Log) -> None:
    dead = open_outbox(durable=True)
    put(dead, "processing", "success")
    die(dead)
    outbox = open_outbox(durable=True)
    put(outbox, "archived")
    for delivered in (0, 2, 3):
        stats = outbox.stats()
        assert (stats.accepted, stats.taken_over, stats.delivered) == (1, 2, delivered)
        assert stats.accepted + stats.taken_over == sum(
            (stats.delivered, stats.refused, stats.queue_depth, stats.spool_depth)
        )
        Drain(outbox, Stop()).step()


def test_what_came_back_from_the_client_is_late(open_outbox: OpenOutbox, log: Log) -> None:
    outbox = open_outbox()
    put(outbox, "processing", "success")
    log.answers = False
    outbox.call_back(1)
    assert outbox.stats().spool_depth == 2
    log.answers = True
    Drain(outbox, Stop()).step()
    assert log.rows() == ["processing", "success"]
    assert [late for _, late in log.shown()] == [False, False, True, True]


def test_what_the_client_had_no_room_for_is_not_late(open_outbox: OpenOutbox, log: Log) -> None:
    outbox = open_outbox(durable=True)
    put(outbox, "processing")
    log.has_room = False
    Drain(outbox, Stop()).step()
    log.has_room = True
    Drain(outbox, Stop()).step()
    assert log.shown() == [("processing", False)]


def test_what_is_in_memory_goes_out_though_the_spool_cannot_be_read(open_outbox: OpenOutbox, log: Log) -> None:
    outbox = open_outbox()
    outbox.direct = False
    put(outbox, "processing")
    own = outbox.backlog._own
    assert own is not None
    own.close_database()
    put(outbox, "success")
    steps = Drain(outbox, Stop())
    steps.step()
    assert log.shown() == [("success", False)]
    assert (outbox.stats().spool_depth, outbox.stats().queue_depth) == (1, 0)
    assert outbox.wait_until_settled(0) == 1, "what cannot be read is not delivered"
    steps.step()
    assert steps.seconds_to_wait > 0, "there is nothing to send, so nothing to hurry for"
    own._database = database.connect(own.path)
    steps.step()
    assert log.shown() == [("success", False), ("processing", True)], "it was overtaken"
    assert log.rows() == ["success"]
    assert (len(outbox.backlog), outbox.backlog.unreadable) == (0, False)


def test_a_callback_that_never_comes_holds_nothing_up(
    open_outbox: OpenOutbox, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = open_outbox(durable=True)
    put(outbox, "processing", "success")
    log.answers = log.tells_of_purged = False
    polls = iter(range(10_000))
    with monkeypatch.context() as patch:
        patch.setattr(log, "poll", lambda _seconds: next(polls))
        patch.setattr(drain, "GIVE_UP_SECONDS", 0.0, raising=False)
        try_in_vain(outbox, monkeypatch)
    assert (len(outbox.backlog), outbox.failing) == (2, True)
    log.answers = True
    Drain(outbox, Stop()).step()
    assert log.rows() == ["processing", "success"]
    assert len(outbox.backlog) == 0


def test_a_delivered_event_leaves_no_mark_behind(open_outbox: OpenOutbox, log: Log) -> None:
    outbox = open_outbox(durable=True)
    put(outbox, "processing", "success")
    Drain(outbox, Stop()).step()
    backlog = outbox.backlog
    assert len(backlog) == len(backlog._tried) == 0
    young = entry(now_micros())
    backlog.note_tried([young.seq])
    assert backlog.refuse(young, "too large")
    assert backlog._tried == set()


def test_what_the_client_cannot_take_is_kept_for_a_person_and_stops_nothing_behind_it(
    open_outbox: OpenOutbox, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = open_outbox(durable=True)
    put(outbox, "processing", "bad", "success")
    log.cannot_take = {item.value for item in outbox.backlog.first(3).entries if item.event.status == "bad"}
    Drain(outbox, Stop()).step()
    assert log.rows() == ["processing", "success"]
    stats = outbox.stats()
    assert (stats.refused, stats.spool_depth, len(outbox.backlog)) == (1, 0, 0)
    assert "surrogates not allowed" in caplog.text
    own = outbox.backlog._own
    assert own is not None
    assert [refused.record.event.status for refused in own.refused()] == ["bad"]
