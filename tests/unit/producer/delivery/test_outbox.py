"""The outbox: its room, its order, its end, and that it holds up no event loop."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from jobstatus_producer import ProducerClosedError
from jobstatus_producer.delivery.drain import Bounds, Drain, Stop
from jobstatus_producer.delivery.outbox import Outbox
from jobstatus_producer.delivery.sender import Sender
from jobstatus_producer.delivery.waits import aput_within, put_within, wait_until_settled
from jobstatus_producer.record import CheckedUpdate, Record, new_event_id
from jobstatus_schemas import Codec
from support.memory_transport import MemoryLog
from support.spools import entry, leave_behind
from support.waiting import until

Open = Callable[..., Outbox]


def update(status: str) -> CheckedUpdate:
    return CheckedUpdate("job", status, None, None, None, None, new_event_id())


def test_new_stamps_are_above_those_in_a_spool_from_the_future(open_outbox: Open, tmp_path: Path) -> None:
    future = (time.time_ns() // 1000) + 3_600_000_000
    leave_behind(tmp_path, [entry(future)])
    outbox = open_outbox(spool_dir=tmp_path)
    assert all(event.occurred_at > future for event in outbox.as_events([update("ok"), update("ok")]))


def test_the_loop_stands_still_for_no_drain_that_ends(open_outbox: Open, log: MemoryLog) -> None:
    """The last chunk of a drain holds all calls up; tasks wait for it beside their loop."""
    outbox = open_outbox()
    log.answers = False
    assert outbox.put([update("0")])
    assert outbox.call_back_if_failed() is None
    log.has_room = False
    assert outbox.put([update("1")])
    assert outbox.call_back_if_failed() == 0, "the route is over the backlog now"
    log.has_room = True
    begun, end = threading.Event(), threading.Event()
    ended_by_the_loop = []

    def hold() -> None:
        log.before_poll = lambda: None
        begun.set()
        ended_by_the_loop.append(end.wait(60))
        log.answers = True

    log.before_poll = hold
    drain = threading.Thread(target=Drain(outbox, Stop(), Bounds(last_chunk=60)).step)
    drain.start()
    assert begun.wait(60)

    async def report() -> None:
        calls = [asyncio.create_task(aput_within(outbox, [update(str(step))], 60)) for step in range(2, 6)]
        done, _ = await asyncio.wait(calls, timeout=0.05)
        assert not done, "there is no way yet"
        end.set()
        assert await asyncio.gather(*calls) == [True] * 4

    asyncio.run(report())
    drain.join()
    assert ended_by_the_loop == [True]
    assert outbox.stats().accepted == 6


def test_a_call_without_room_gives_up_at_its_bound_and_counts_it(open_outbox: Open, log: MemoryLog) -> None:
    outbox = open_outbox(max_pending_events=1)
    log.answers = False
    assert outbox.put([update("0")])
    assert not put_within(outbox, [update("1")], 0.05)
    assert not asyncio.run(aput_within(outbox, [update("2")], 0.05))
    assert (outbox.stats().accepted, outbox.stats().rejected) == (1, 2)
    log.answers = True
    assert put_within(outbox, [update("3")], 30)


def test_an_event_that_failed_and_was_overtaken_is_late_and_sets_no_row_back(open_outbox: Open, log: MemoryLog) -> None:
    outbox = open_outbox()
    log.answers = log.has_room = False
    assert outbox.put([update("0")])
    log.has_room = True
    assert outbox.put([update("1")])
    log.answers = True
    sender = Sender(outbox)
    assert wait_until_settled(outbox, 30) == 0
    sender.stop(30)
    assert log.shown() == [("1", False), ("0", True)]
    assert log.rows() == ["1"]


def test_the_sender_delivers_what_comes_in_any_way(open_outbox: Open, log: MemoryLog, tmp_path: Path) -> None:
    outbox = open_outbox(spool_dir=tmp_path, durable=True)
    sender = Sender(outbox)
    for step in range(20):
        assert outbox.put([update(str(step))])
    until(lambda: outbox.stats().delivered == 20, "all are delivered")
    sender.stop(30)
    assert [event.status for event in log.events] == [str(step) for step in range(20)]


def test_after_its_end_the_outbox_takes_nothing(open_outbox: Open, log: MemoryLog) -> None:
    outbox = open_outbox()
    log.answers = False
    assert outbox.put([update("0")])
    outbox.refuse_more()
    with pytest.raises(ProducerClosedError, match="nothing was queued"):
        outbox.put([update("1")])
    assert [event.status for event in outbox.give_up(0)] == ["0"]
    assert [event.status for event in outbox.give_up(0)] == ["0"], "an interrupted close finds it again"
    with pytest.raises(ProducerClosedError, match="nothing was queued"):
        outbox.put([update("2")])
    assert outbox.stats().accepted == 1


def test_a_call_that_is_under_way_at_the_end_is_told_so(open_outbox: Open, log: MemoryLog) -> None:
    """As where a signal handler closes in the middle of a call."""
    outbox = open_outbox()
    sends = itertools.count()

    class Closing(CheckedUpdate):
        def stamped(self, seq: int, codec: Codec) -> Record:
            if next(sends) == 0:
                outbox.give_up(0)
            return super().stamped(seq, codec)

    with pytest.raises(ProducerClosedError, match="in the middle of this call"):
        outbox.put([Closing(*update("0"))])


def test_what_a_handler_reports_in_the_middle_of_a_call_comes_after_that_call(
    open_outbox: Open, log: MemoryLog
) -> None:
    outbox = open_outbox()

    class Interrupted(CheckedUpdate):
        def stamped(self, seq: int, codec: Codec) -> Record:
            assert outbox.put([update("handler")])
            return super().stamped(seq, codec)

    assert outbox.put([Interrupted(*update("call"))])
    assert [event.status for event in log.events] == ["call", "handler"]
    assert outbox.stats().accepted == 2
