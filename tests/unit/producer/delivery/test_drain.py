"""What a drain hands to the client: what may be in the log already goes out as late, and no wait is without an end."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jobstatus_producer import ProducerSettings, Stats
from jobstatus_producer.clock import StrictClock
from jobstatus_producer.delivery.drain import BOUNDS, Bounds, Drain, Stop
from jobstatus_producer.delivery.outbox import Outbox
from jobstatus_producer.delivery.waits import wait_until_settled
from jobstatus_producer.record import CheckedUpdate, Record, new_event_id
from jobstatus_producer.spool import folder as spool_folder
from jobstatus_producer.spool.database import SpoolWriteError
from jobstatus_producer.spool.file import SpoolFile
from jobstatus_schemas import CODEC
from support.memory_transport import MemoryLog, MemoryTransport
from support.spools import leave_behind

OpenOutbox = Callable[..., Outbox]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def open_outbox(log: MemoryLog, folder: Path) -> Iterator[OpenOutbox]:
    made: list[Outbox] = []
    # nothing here grows old, however slow the machine is
    times = itertools.count(time.time_ns(), 1000)
    clock = StrictClock(lambda: next(times))

    def make(*, durable: bool = False, **parts: Any) -> Outbox:
        settings = ProducerSettings(kafka={"bootstrap.servers": "127.0.0.1:1"}, spool_dir=folder, durable=durable)
        made.append(Outbox(settings, clock=clock, **{"open_transport": log.open, **parts}))
        return made[-1]

    yield make
    for outbox in made:
        outbox.give_up(0)


def put(outbox: Outbox, *statuses: str) -> None:
    assert outbox.put([update(status) for status in statuses])


def update(status: str) -> CheckedUpdate:
    return CheckedUpdate("job", status, None, None, None, None, new_event_id())


def left(outbox: Outbox) -> int:
    """How many events are not delivered."""
    return outbox.stats().queue_depth + outbox.stats().spool_depth


def step(outbox: Outbox, bounds: Bounds = BOUNDS) -> None:
    Drain(outbox, Stop(), bounds).step()


def try_in_vain(outbox: Outbox) -> None:
    """One step whose chunk is not acknowledged in time."""
    step(outbox, Bounds(chunk=0.0, call_back=0.0))


def queue_in_spool(outbox: Outbox, *statuses: str) -> None:
    """The route is not direct, as after a broker that did not answer."""
    outbox.move_to_spool()
    put(outbox, *statuses)


def as_stored(log: MemoryLog) -> list[Record]:
    """What a spool holds whose process was killed between the acknowledgements and the deletion."""
    return [
        Record(event.content.occurred_at, record.key, record.value, None)
        for event, record in zip(log.events, log.records, strict=True)
        if record.key is not None
        if record.value is not None
    ]


@contextmanager
def a_spool_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fails(*_: object) -> None:
        raise SpoolWriteError("input/output error")

    with monkeypatch.context() as patch:
        for name in ("add", "first", "oldest"):
            patch.setattr(SpoolFile, name, fails)
        yield


@pytest.mark.parametrize("durable", [True, False])
def test_what_a_taken_over_spool_holds_never_sets_a_row_back(
    open_outbox: OpenOutbox, log: MemoryLog, folder: Path, durable: bool
) -> None:
    killed = open_outbox(durable=durable)
    queue_in_spool(killed, "processing", "success")
    step(killed)
    killed.give_up(0)
    leave_behind(folder, as_stored(log))
    again = open_outbox(durable=durable)
    step(again)
    assert log.shown() == [("processing", False), ("success", False), ("processing", True), ("success", True)]
    assert [event.content.event_id for event in log.events[:2]] == [event.content.event_id for event in log.events[2:]]
    assert log.rows() == ["processing", "success"], "the copies change nothing"
    assert left(again) == 0


@pytest.mark.parametrize("durable", [True, False])
def test_what_was_tried_before_is_late_and_what_was_not_goes_by_its_age(
    open_outbox: OpenOutbox, log: MemoryLog, durable: bool
) -> None:
    outbox = open_outbox(durable=durable)
    queue_in_spool(outbox, "processing", "success")
    log.answers = False
    try_in_vain(outbox)
    put(outbox, "archived")
    log.answers = True
    step(outbox)
    assert log.shown()[2:] == [("processing", True), ("success", True), ("archived", False)]
    assert log.rows() == ["processing", "success", "archived"]
    assert left(outbox) == 0


def test_after_a_takeover_the_numbers_add_up(open_outbox: OpenOutbox, log: MemoryLog, folder: Path) -> None:
    stamps = itertools.count(time.time_ns() // 1000)
    leave_behind(folder, [update(status).stamped(next(stamps), CODEC) for status in ("processing", "success")])
    outbox = open_outbox(durable=True)
    put(outbox, "archived")
    for delivered in (0, 2, 3):
        stats = outbox.stats()
        assert (stats.accepted, stats.taken_over, stats.delivered) == (1, 2, delivered)
        assert stats.accepted + stats.taken_over == sum(
            (stats.delivered, stats.refused, stats.queue_depth, stats.spool_depth)
        )
        step(outbox)


def test_what_came_back_from_the_client_is_late(open_outbox: OpenOutbox, log: MemoryLog) -> None:
    outbox = open_outbox()
    put(outbox, "processing", "success")
    log.answers = False
    assert outbox.move_to_spool() == 0
    assert outbox.stats().spool_depth == 2
    log.answers = True
    step(outbox)
    assert log.rows() == ["processing", "success"]
    assert [late for _, late in log.shown()] == [False, False, True, True]


def test_what_the_client_had_no_room_for_is_not_late(open_outbox: OpenOutbox, log: MemoryLog) -> None:
    outbox = open_outbox(durable=True)
    put(outbox, "processing")
    log.has_room = False
    step(outbox)
    log.has_room = True
    step(outbox)
    assert log.shown() == [("processing", False)]


def test_what_is_in_memory_goes_out_though_the_spool_cannot_be_read(
    open_outbox: OpenOutbox, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = open_outbox()
    queue_in_spool(outbox, "processing")
    drain = Drain(outbox, Stop())
    with a_spool_that_cannot_be_used(monkeypatch):
        put(outbox, "success")
        drain.step()
        assert log.shown() == [("success", False)]
        assert (outbox.stats().spool_depth, outbox.stats().queue_depth) == (1, 0)
        assert wait_until_settled(outbox, 0) == 1, "what cannot be read is not delivered"
        drain.step()
        assert drain.seconds_to_wait() > 0, "there is nothing to send, so nothing to hurry for"
    drain.step()
    assert log.shown() == [("success", False), ("processing", True)], "it was overtaken"
    assert log.rows() == ["success"]
    assert (left(outbox), outbox.spool_is_readable) == (0, True)


def test_a_callback_that_never_comes_holds_nothing_up(open_outbox: OpenOutbox, log: MemoryLog) -> None:
    outbox = open_outbox(durable=True)
    put(outbox, "processing", "success")
    log.answers = log.calls_back_purged = False
    try_in_vain(outbox)
    assert (left(outbox), outbox.is_blocked) == (2, True)
    assert log.polls < 10_000
    log.answers = True
    step(outbox)
    assert log.rows() == ["processing", "success"]
    assert left(outbox) == 0


def test_a_callback_that_comes_after_its_chunk_was_called_back_changes_nothing(
    open_outbox: OpenOutbox, log: MemoryLog
) -> None:
    outbox = open_outbox(durable=True)
    put(outbox, "processing")
    log.answers = log.calls_back_purged = False
    try_in_vain(outbox)
    try_in_vain(outbox)
    log.answers = True
    outbox.poll(0)
    assert (left(outbox), outbox.stats().delivered) == (1, 0)
    step(outbox)
    assert (left(outbox), outbox.stats().delivered) == (0, 1)
    assert log.rows() == ["processing"]


def test_what_the_client_cannot_take_is_kept_for_a_person_and_stops_nothing_behind_it(
    open_outbox: OpenOutbox, log: MemoryLog, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = open_outbox(durable=True)
    put(outbox, "processing", "bad", "success")
    chunk = outbox.next_chunk(3)
    log.cannot_take = {record.value for record in chunk.records if record.event(CODEC).status == "bad"}
    step(outbox)
    assert log.rows() == ["processing", "success"]
    stats = outbox.stats()
    assert (stats.refused, stats.spool_depth, left(outbox)) == (1, 0, 0)
    assert "surrogates not allowed" in caplog.text
    (info,) = spool_folder.inspect(folder)
    assert [refused.record.event(CODEC).status for refused in info.refused] == ["bad"]


def test_a_new_outbox_has_done_nothing(open_outbox: OpenOutbox) -> None:
    assert open_outbox().stats() == Stats()


@pytest.mark.parametrize(("silent_seconds", "is_delivered"), [(0.0, True), (3600.0, False)])
def test_a_client_that_never_answers_is_replaced_after_a_while(
    open_outbox: OpenOutbox, log: MemoryLog, silent_seconds: float, is_delivered: bool
) -> None:
    # such as a librdkafka that waits for an in-flight request that it has forgotten
    stuck = MemoryLog()
    stuck.answers = False
    clients = iter([stuck, log, log])
    outbox = open_outbox(
        durable=True, open_transport=lambda *given: next(clients).open(*given), silent_seconds=silent_seconds
    )
    put(outbox, "up")
    try_in_vain(outbox)
    step(outbox, Bounds(chunk=0.1, call_back=0.0))
    assert (left(outbox) == 0) is is_delivered
    assert log.shown() == ([("up", True)] if is_delivered else [])


def test_a_client_of_which_any_record_is_answered_is_kept(open_outbox: OpenOutbox, log: MemoryLog) -> None:
    opened: list[str] = []

    def open_transport(topic: str, *given: Any) -> MemoryTransport:
        opened.append(topic)
        return log.open(topic, *given)

    outbox = open_outbox(durable=True, open_transport=open_transport, silent_seconds=0.0)
    for status in ("up", "down"):
        put(outbox, status)
        step(outbox)
    assert left(outbox) == 0
    assert len(opened) == 1
