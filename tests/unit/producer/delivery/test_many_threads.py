"""Calls of many threads: none queues on the direct way, none overtakes, and durable ones share a transaction."""

from __future__ import annotations

import dis
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from jobstatus_producer import JobStatusProducer, ProducerSettings
from jobstatus_producer.clock import StrictClock
from jobstatus_producer.delivery.first_tries import FirstTries
from jobstatus_producer.delivery.in_flight import InFlight
from jobstatus_producer.delivery.intake import Intake
from jobstatus_producer.delivery.outbox import Outbox
from jobstatus_producer.delivery.sender import Sender
from jobstatus_producer.delivery.waits import put_within, wait_until_settled
from jobstatus_producer.delivery.wakeups import Wakeups
from jobstatus_producer.record import CheckedUpdate, Record, new_event_id
from jobstatus_schemas import CODEC, Codec
from support.memory_transport import MemoryLog
from support.waiting import until

SECONDS = 60.0
THREADS = 8
Open = Callable[..., Outbox]


class Stopped(CheckedUpdate):
    """An update whose call stands still in the middle, as one whose thread has lost the interpreter."""

    reached: threading.Event
    go_on: threading.Event

    def stamped(self, seq: int, codec: Codec) -> Record:
        record = super().stamped(seq, codec)
        self.reached.set()
        assert self.go_on.wait(SECONDS)
        return record


def update(status: str, job_id: str = "job") -> CheckedUpdate:
    return CheckedUpdate(job_id, status, None, None, None, None, new_event_id())


def stopped(status: str) -> Stopped:
    found = Stopped(*update(status))
    found.reached, found.go_on = threading.Event(), threading.Event()
    return found


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * THREADS) as found:
        yield found


@contextmanager
def threads_change_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def test_behind_a_call_that_has_lost_the_interpreter_no_other_queues_for_its_lock(
    open_outbox: Open, log: MemoryLog, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread in the queue gets the lock before it gets the interpreter, and so holds up all others in its turn."""
    outbox = open_outbox()
    asleep: set[int] = set()
    nap = time.sleep

    def noted(seconds: float) -> None:
        asleep.add(threading.get_ident())
        nap(seconds)

    monkeypatch.setattr("jobstatus_producer.delivery.intake.time.sleep", noted)
    first = stopped("first")
    under_way = pool.submit(outbox.put, [first])
    assert first.reached.wait(SECONDS)
    others = [pool.submit(outbox.put, [update(str(step))]) for step in range(THREADS)]
    until(lambda: len(asleep - {threading.get_ident()}) == THREADS, "all others sleep, and do not queue")
    first.go_on.set()
    assert under_way.result(SECONDS)
    assert [other.result(SECONDS) for other in others] == [True] * THREADS
    assert len(log.events) == THREADS + 1


class Callbacks:
    """Callbacks of the Kafka client that last until they are let go."""

    def __init__(self, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.runs = 0
        monkeypatch.setattr(outbox._client.transport, "poll", self._poll)

    def _poll(self, seconds: float) -> None:
        self.runs += 1
        self.reached.set()
        assert self.go_on.wait(SECONDS)


def test_while_callbacks_run_direct_calls_of_other_threads_sleep(
    open_outbox: Open, log: MemoryLog, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client takes the interpreter for each callback; if others wanted it, each would be a switch of threads."""
    monkeypatch.setattr("jobstatus_producer.delivery.intake.CALLBACKS_SECONDS", SECONDS)
    outbox = open_outbox()
    callbacks = Callbacks(outbox, monkeypatch)
    running = pool.submit(outbox.run_callbacks)
    assert callbacks.reached.wait(SECONDS)
    other = pool.submit(lambda: [outbox.put([update(text)]) for text in ("first", "second")])
    until(lambda: log.records, "the first call of a thread does not wait")
    sender = pool.submit(outbox.run_callbacks)
    assert outbox.put([update("loop")], may_block=False), "an event loop never sleeps"
    outbox._run_callbacks_unless_run()
    assert not other.done()
    assert callbacks.runs == 1, "no second thread runs callbacks at the same time"
    callbacks.go_on.set()
    running.result(SECONDS)
    sender.result(SECONDS)
    assert other.result(SECONDS) == [True, True]
    assert [event.status for event in log.events] == ["first", "loop", "second"]


def test_a_callback_that_waits_for_a_call_of_another_thread_gets_it(
    open_outbox: Open, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that logs, where a handler of the log reports a job: the call goes on after a moment."""
    outbox = open_outbox()
    callbacks = Callbacks(outbox, monkeypatch)
    running = pool.submit(outbox.run_callbacks)
    assert callbacks.reached.wait(SECONDS)
    calls = pool.submit(lambda: [outbox.put([update(text)]) for text in ("first", "second")])
    assert calls.result(SECONDS) == [True, True]
    callbacks.go_on.set()
    running.result(SECONDS)


def test_a_callback_that_reports_does_not_wait_for_itself(
    open_outbox: Open, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that logs, where a handler of the log reports jobs."""
    monkeypatch.setattr("jobstatus_producer.delivery.intake.CALLBACKS_SECONDS", SECONDS)
    outbox = open_outbox()
    reported: list[bool] = []
    log.before_poll = lambda: reported.extend(outbox.put([update(str(step))]) for step in range(3))
    began = time.monotonic()
    outbox.run_callbacks()
    assert reported == [True, True, True]
    assert time.monotonic() - began < SECONDS / 2


def test_a_handler_that_raises_before_the_callbacks_run_does_not_end_them_for_ever(
    open_outbox: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = open_outbox()
    callbacks = Callbacks(outbox, monkeypatch)
    callbacks.go_on.set()
    # what is left where the handler raises right behind the assignment
    outbox._callbacks_until = time.monotonic() - 1
    assert outbox.put([update("next")])
    outbox._run_callbacks_unless_run()
    assert callbacks.runs == 1


def test_many_wakes_end_one_sleep() -> None:
    """While the sender has lost the interpreter at the wrong moment, each of hundreds of calls wakes it."""
    wakeups = Wakeups()
    for _ in range(500):
        wakeups.wake()
    wakeups.sleep(lambda: SECONDS)
    began = time.monotonic()
    wakeups.sleep(lambda: 0.1)
    assert time.monotonic() - began >= 0.09


def test_an_event_loop_does_not_wait_for_a_call_of_a_thread(open_outbox: Open, pool: ThreadPoolExecutor) -> None:
    outbox = open_outbox()
    first = stopped("first")
    under_way = pool.submit(outbox.put, [first])
    assert first.reached.wait(SECONDS)
    try:
        assert not outbox.put([update("loop")], may_block=False)
    finally:
        first.go_on.set()
    assert under_way.result(SECONDS)
    assert outbox.put([update("loop")], may_block=False)


def test_a_handler_that_raises_while_a_call_takes_the_lock_leaves_it_free(
    open_outbox: Open, pool: ThreadPoolExecutor
) -> None:
    """Python runs a handler right after the call that took the lock, before the caller knows of it."""
    outbox = open_outbox()

    class Interrupted:
        def __init__(self, lock: Any) -> None:
            self._lock = lock
            self._is_owned, self.release = lock._is_owned, lock.release
            self.interrupts = 1

        def acquire(self, *, blocking: bool) -> bool:
            found: bool = self._lock.acquire(blocking=blocking)
            self.interrupts -= 1
            if self.interrupts == 0:
                raise KeyboardInterrupt
            return found

    outbox._lock = Interrupted(outbox._lock)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        outbox.put([update("0")])
    assert pool.submit(outbox.put, [update("1")]).result(SECONDS)
    assert outbox.stats().accepted == 1
    outbox._lock = outbox._lock._lock  # type: ignore[attr-defined]


def test_a_call_never_lets_go_of_the_interpreter() -> None:
    """With a switch interval without end, another thread only runs where a call lets it."""
    turns = 0
    over = threading.Event()
    before = sys.getswitchinterval()

    def count() -> None:
        nonlocal turns
        while not over.is_set():
            turns += 1
            time.sleep(0)

    with JobStatusProducer(ProducerSettings(kafka={"bootstrap.servers": "127.0.0.1:1"}, close_seconds=0)) as jobs:
        other = threading.Thread(target=count)
        sys.setswitchinterval(1000)
        try:
            other.start()
            turns_before = turns
            for step in range(200):
                jobs.update_job_status(f"job-{step}", "processing")
            turns_after = turns
        finally:
            sys.setswitchinterval(before)
            over.set()
            other.join()
            with pytest.raises(Exception, match="not delivered"):
                jobs.close(0)
    assert turns_after == turns_before


def test_the_bound_on_events_is_exact_with_many_threads(open_outbox: Open, log: MemoryLog) -> None:
    outbox = open_outbox(max_pending_events=500)
    log.answers = False
    with threads_change_often(), ThreadPoolExecutor(THREADS) as many:
        accepted = list(many.map(lambda step: outbox.put([update(str(step))]), range(1000)))
    assert sum(accepted) == 500
    assert outbox.stats().queue_depth == outbox.stats().accepted == len(log.records) == 500


def test_the_bound_on_bytes_is_exact_with_many_threads(open_outbox: Open, log: MemoryLog) -> None:
    size = len(update("x").stamped(1_700_000_000_000_000, CODEC).value)
    outbox = open_outbox(max_pending_bytes=100 * size)
    log.answers = False
    with threads_change_often(), ThreadPoolExecutor(THREADS) as many:
        accepted = list(many.map(lambda _: outbox.put([update("x")]), range(300)))
    assert sum(accepted) == 100


@pytest.mark.parametrize("spool", [False, True])
def test_each_threads_events_arrive_once_and_in_order_through_failures(
    open_outbox: Open, log: MemoryLog, tmp_path: Path, spool: bool
) -> None:
    events = 60
    outbox = open_outbox(max_pending_events=40, spool_dir=tmp_path if spool else None)
    sender = Sender(outbox)

    def report(number: int) -> None:
        for step in range(events):
            updates = [update(str(step), f"job-{number}")]
            # what is handed over now fails; the way is closed, and opened again. Not for longer than one try: nothing
            # is sent meanwhile, so a call that found no room would never find any
            log.has_room = step % 20 != number
            accepted = outbox.put(updates)
            log.has_room = True
            assert accepted or put_within(outbox, updates, SECONDS)

    with threads_change_often(), ThreadPoolExecutor(THREADS) as many:
        list(many.map(report, range(THREADS)))
    assert wait_until_settled(outbox, SECONDS) == 0
    sender.stop(SECONDS)
    assert outbox.stats().delivered == outbox.stats().accepted == THREADS * events
    for number in range(THREADS):
        of_job = [(int(event.status), event.late) for event in log.events if event.job_id == f"job-{number}"]
        assert {status for status, _ in of_job} == set(range(events)), "none is lost"
        in_time = [status for status, late in of_job if not late]
        assert in_time == sorted(set(in_time)), "one that is overtaken, or is a copy, is marked as late"
        assert log.rows(f"job-{number}")[-1] == str(events - 1)


def begin_together(outbox: Outbox, pool: ThreadPoolExecutor, updates: list[list[CheckedUpdate]]) -> list[Future[bool]]:
    """Calls that all wait for the lock before the first of them gets it."""
    with outbox.calls_held_up():
        calls = [pool.submit(outbox.put, each) for each in updates]
        until(lambda: len(outbox._group._waiting) == len(calls), "all wait for the lock")
    return calls


def test_durable_calls_that_wait_together_share_a_transaction(
    open_outbox: Open, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    outbox = open_outbox(spool_dir=tmp_path, durable=True)
    statements: list[str] = []
    outbox._backlog._own._database.set_trace_callback(statements.append)  # type: ignore[union-attr]
    calls = begin_together(outbox, pool, [[update(str(step))] for step in range(2 * THREADS)])
    assert [call.result(SECONDS) for call in calls] == [True] * 2 * THREADS
    outbox._backlog._own._database.set_trace_callback(None)  # type: ignore[union-attr]
    assert [text.lower() for text in statements].count("commit") == 1
    assert outbox.stats().spool_depth == outbox.stats().accepted == 2 * THREADS


def test_calls_that_have_no_room_together_are_accepted_as_far_as_there_is_room(
    open_outbox: Open, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    outbox = open_outbox(spool_dir=tmp_path, durable=True, spool_max_bytes=1000)
    calls = begin_together(outbox, pool, [[update("x"), update("y")] for _ in range(THREADS)])
    accepted = sum(call.result(SECONDS) for call in calls)
    assert 0 < accepted < THREADS
    assert outbox.stats().spool_depth == outbox.stats().accepted == 2 * accepted, "each call all or none"


def test_a_call_whose_group_was_interrupted_is_accepted_by_its_own_thread(
    open_outbox: Open, pool: ThreadPoolExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler raises in the thread that accepts the events of all, before it has begun."""
    outbox = open_outbox(spool_dir=tmp_path, durable=True)
    place = Intake._place
    interrupted: list[int] = []

    def interrupt_once(self: Intake, records: list[Record]) -> bool:
        if not interrupted:
            interrupted.append(len(records))
            raise KeyboardInterrupt
        return place(self, records)

    monkeypatch.setattr(Intake, "_place", interrupt_once)
    calls = begin_together(outbox, pool, [[update(str(step))] for step in range(4)])
    ended = [call.exception(SECONDS) for call in calls]
    assert interrupted == [4]
    assert sorted(map(repr, ended)) == ["KeyboardInterrupt()", "None", "None", "None"]
    assert outbox.stats().spool_depth == outbox.stats().accepted == 3
    assert len(outbox.next_chunk(9).maybe_in_log) == 3, "a copy of each may have been written by the first"


@pytest.mark.parametrize(
    "function",
    [StrictClock.stamp, StrictClock.rise_above, InFlight._forget],
    ids=lambda function: function.__qualname__,
)
def test_steps_without_a_lock_are_steps(function: FunctionType) -> None:
    """Python changes threads, and runs signal handlers, at calls and where a loop goes back."""
    steps = [(each.opname, each.argval) for each in dis.get_instructions(function)]
    changed = {name for operation, name in steps if operation == "STORE_ATTR"}
    used = [place for place, (operation, name) in enumerate(steps) if operation == "DELETE_SUBSCR" or name in changed]
    between = [operation for operation, _ in steps[used[0] : used[-1]]]
    assert [name for name in between if name.startswith(("CALL", "JUMP_BACKWARD", "POP_JUMP_BACKWARD"))] == []


def test_no_two_stamps_are_the_same_however_often_threads_change() -> None:
    clock = StrictClock(lambda: 1_700_000_000_000_000_000)
    with threads_change_often(), ThreadPoolExecutor(THREADS) as many:
        found = list(many.map(lambda _: [clock.stamp() for _ in range(500)], range(THREADS)))
    assert len({stamp for stamps in found for stamp in stamps}) == 500 * THREADS
    assert all(stamps == sorted(stamps) for stamps in found)


def test_first_tries_count_every_end_however_often_threads_change(open_outbox: Open, log: MemoryLog) -> None:
    outbox = open_outbox()
    tries: FirstTries = outbox._first_tries

    def report(_: int) -> None:
        for step in range(50):
            assert outbox.put([update(str(step))])
            outbox.poll(0)

    with threads_change_often(), ThreadPoolExecutor(THREADS) as many:
        list(many.map(report, range(THREADS)))
    outbox.poll(0)
    assert (len(tries), tries.bytes, tries.delivered_count) == (0, 0, 50 * THREADS)


def test_what_a_handler_has_reported_is_not_lost_where_another_one_raises(
    open_outbox: Open, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report was accepted, so the interrupt of the call at whose end it goes out must not take it away."""
    outbox = open_outbox()

    class Interrupted(CheckedUpdate):
        def stamped(self, seq: int, codec: Codec) -> Record:
            assert outbox.put([update("handler")])
            return super().stamped(seq, codec)

    keep = Intake._keep

    def interrupt_once(*_: object) -> None:
        monkeypatch.setattr(Intake, "_keep", keep)
        raise KeyboardInterrupt

    monkeypatch.setattr(Intake, "_keep", interrupt_once)
    with pytest.raises(KeyboardInterrupt):
        outbox.put([Interrupted(*update("call"))])
    assert wait_until_settled(outbox, SECONDS) == 0
    assert [event.status for event in log.events] == ["call", "handler"]
    assert not outbox.is_interrupted


def test_the_sender_wakes_for_an_event_whose_call_was_interrupted_after_it(
    open_outbox: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would sleep until the next call, and the event, or the report of a handler, might wait for hours."""
    outbox = open_outbox()
    sender = Sender(outbox)
    count = Intake._count

    def interrupt_once(self: Intake, more: int) -> int:
        monkeypatch.setattr(Intake, "_count", count)
        count(self, more)
        raise KeyboardInterrupt

    try:
        until(lambda: outbox._wakeups.needed, "the sender sleeps")
        monkeypatch.setattr(Intake, "_count", interrupt_once)
        with pytest.raises(KeyboardInterrupt):
            outbox.put([update("call")])
        until(lambda: outbox.stats().delivered == 1, "the sender has run the callback")
    finally:
        sender.stop(SECONDS)


def test_calls_that_wait_together_do_not_pass_the_bound_on_bytes_together(
    open_outbox: Open, pool: ThreadPoolExecutor
) -> None:
    """Only one call may be larger than the bound, where nothing else waits."""
    outbox = open_outbox(max_pending_bytes=100)
    outbox._leave_direct()
    calls = begin_together(outbox, pool, [[update("x" * 60)] for _ in range(4)])
    assert sum(call.result(SECONDS) for call in calls) == 1
