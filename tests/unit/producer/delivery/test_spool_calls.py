"""A bound that is set holds for the spool's disk, too."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue

import pytest
from jobstatus_producer import BufferFullError, JobStatusProducer, ProducerSettings, UndeliveredError
from jobstatus_producer.clock import StrictClock
from jobstatus_producer.delivery import spool_calls
from jobstatus_producer.delivery.acks import AckWaiter
from jobstatus_producer.delivery.outbox import Outbox
from jobstatus_producer.delivery.spool_calls import SpoolCalls
from jobstatus_producer.record import CheckedUpdate, Record, new_event_id
from jobstatus_producer.spool import folder as spool_folder
from jobstatus_producer.spool.database import SpoolWriteError
from jobstatus_producer.spool.file import SpoolFile
from support.memory_transport import MemoryLog
from support.waiting import until

BOUND = 0.5
MUCH_MORE = 30.0


class SlowDisk:
    """From `is_slow` on, a write to a spool lasts until `works`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_slow = self.is_full = False
        self.works = threading.Event()
        self.begun = threading.Event()
        add = SpoolFile.add

        def slow_add(file: SpoolFile, records: Sequence[Record]) -> None:
            if self.is_slow:
                self.begun.set()
                self.works.wait()
            if self.is_full:
                raise SpoolWriteError("disk full")
            add(file, records)

        monkeypatch.setattr(SpoolFile, "add", slow_add)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SlowDisk:
    return SlowDisk(monkeypatch)


def producer(folder: Path, **more: object) -> JobStatusProducer:
    variables = {f"JOBSTATUS_{name}": str(value) for name, value in more.items()}
    return JobStatusProducer.from_env(
        {
            "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "JOBSTATUS_SPOOL_DIR": str(folder),
            "JOBSTATUS_MAX_PENDING_EVENTS": "2",
            "JOBSTATUS_MAX_BLOCK_SECONDS": str(BOUND),
            **variables,
        }
    )


def seconds_of(jobs: JobStatusProducer, status: str) -> float:
    began = time.monotonic()
    try:
        jobs.update_job_status("job", status)
    finally:
        assert time.monotonic() - began < MUCH_MORE
    return time.monotonic() - began


def spooled(folder: Path) -> int:
    return sum(info.events for info in spool_folder.inspect(folder))


def test_a_call_returns_within_its_bound_though_the_spools_disk_is_slow(tmp_path: Path, disk: SlowDisk) -> None:
    jobs = producer(tmp_path)
    jobs.update_many([("job", "0"), ("job", "1")])
    disk.is_slow = True
    # under way: it cannot be taken back, and is accepted
    assert seconds_of(jobs, "2") >= BOUND
    assert disk.begun.is_set()
    # behind it: not begun
    with pytest.raises(BufferFullError, match=r"no room within 0\.5 s"):
        jobs.update_job_status("job", "3")
    disk.works.set()
    until(lambda: jobs.stats().accepted == 3, "the event whose caller did not wait", 30)
    jobs.close(0)
    assert spooled(tmp_path) == 3


def test_a_durable_call_is_not_accepted_before_it_is_on_the_disk(tmp_path: Path, disk: SlowDisk) -> None:
    jobs = producer(tmp_path, DURABLE=1)
    disk.is_slow = True
    with pytest.raises(BufferFullError):
        jobs.update_job_status("job", "0")
    disk.works.set()
    jobs.update_job_status("job", "1")
    jobs.close(0)
    assert spooled(tmp_path) == 2, "the first is on the disk as well"


def test_what_counts_as_accepted_is_kept_though_the_disk_is_full_then(tmp_path: Path, disk: SlowDisk) -> None:
    jobs = producer(tmp_path)
    jobs.update_many([("job", "0"), ("job", "1")])
    disk.is_slow = disk.is_full = True
    jobs.update_job_status("job", "2")
    disk.works.set()
    until(lambda: jobs.stats().accepted == 3, "the event whose caller did not wait", 30)
    with pytest.raises(UndeliveredError) as raised:
        jobs.close(0)
    assert [event.status for event in raised.value.events] == ["0", "1", "2"]


@pytest.mark.parametrize("when", ["before it starts", "before its first line", "after its start"])
def test_a_handler_that_raises_while_the_thread_starts_stops_no_later_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    class InterruptedCallError(Exception):
        pass

    def interrupted_start(thread: threading.Thread) -> None:
        if thread.name != "jobstatus-spool":
            return start(thread)
        monkeypatch.setattr(threading.Thread, "start", start)
        if when == "before its first line":
            # as Python 3.11 does it: the interrupted starter forgets the thread, which then dies of a KeyError
            monkeypatch.setattr(thread, "_bootstrap_inner", lambda: None)
            threading._start_new_thread(thread._bootstrap, ())  # type: ignore[attr-defined]
        if when == "after its start":
            start(thread)
        raise InterruptedCallError

    start = threading.Thread.start
    jobs = producer(tmp_path, DURABLE=1)
    monkeypatch.setattr(threading.Thread, "start", interrupted_start)
    with pytest.raises(InterruptedCallError):
        jobs.update_job_status("job", "0")
    for status in "123":
        jobs.update_job_status("job", status)
    jobs.close(0)
    assert spooled(tmp_path) == 3


def update(status: str) -> CheckedUpdate:
    return CheckedUpdate("job", status, None, None, None, None, new_event_id())


class _InterruptedError(Exception):
    """Raised by a signal's handler in the middle of a call."""


class _InterruptedWait(SimpleQueue[None]):
    def __init__(self, after: threading.Event) -> None:
        super().__init__()
        self._after = after

    def get(self, *_: object, **__: object) -> None:
        assert self._after.wait(30)
        raise _InterruptedError


AT_ONCE = threading.Event()
AT_ONCE.set()


def interrupt(monkeypatch: pytest.MonkeyPatch, put: Callable[[], object], after: threading.Event = AT_ONCE) -> None:
    """Call `put`, whose caller is interrupted while it waits for the spool's thread, once `after` is set."""

    def make(updates: Sequence[CheckedUpdate], waiter: AckWaiter | None) -> spool_calls._Call:
        call = real(updates, waiter)
        call.ended = _InterruptedWait(after)
        return call

    real = spool_calls._Call
    with monkeypatch.context() as patch:
        patch.setattr(spool_calls, "_Call", make)
        with pytest.raises(_InterruptedError):
            put()


class _Blocked:
    """A `put` that lasts until `go_on`."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.done: list[Sequence[CheckedUpdate]] = []

    def __call__(self, updates: Sequence[CheckedUpdate], _: AckWaiter | None) -> bool:
        self.begun.set()
        self.go_on.wait(MUCH_MORE)
        self.done.append(updates)
        return True


def test_no_later_event_overtakes_that_of_an_interrupted_call(monkeypatch: pytest.MonkeyPatch) -> None:
    put, first = _Blocked(), [update("1")]
    calls = SpoolCalls(put, lambda *_: None, durable=False)
    interrupt(monkeypatch, lambda: calls.put(first, None, MUCH_MORE), after=put.begun)
    assert not calls.is_idle, "it is under way, and its event is still to come"
    put.go_on.set()
    until(lambda: calls.is_idle, "the call that was under way is over", 30)
    assert put.done == [first]
    calls.close()


def test_an_interrupted_call_that_has_not_begun_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    put, first, second = _Blocked(), [update("1")], [update("2")]
    calls = SpoolCalls(put, lambda *_: None, durable=False)
    interrupt(monkeypatch, lambda: calls.put(first, None, MUCH_MORE), after=put.begun)
    interrupt(monkeypatch, lambda: calls.put(second, None, MUCH_MORE))
    put.go_on.set()
    until(lambda: calls.is_idle, "both calls are over", 30)
    assert put.done == [first]
    calls.close()


def test_an_event_waits_behind_an_interrupted_call_though_there_is_room_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, accept = threading.Event(), threading.Event(), Outbox._put_locked

    def slow(self: Outbox, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None) -> bool:
        if threading.current_thread().name == "jobstatus-spool":
            begun.set()
            go_on.wait(MUCH_MORE)
        return accept(self, updates, waiter)

    monkeypatch.setattr(Outbox, "_put_locked", slow)
    log = MemoryLog()
    log.answers = False
    kafka = {"bootstrap.servers": "127.0.0.1:1"}
    settings = ProducerSettings(kafka=kafka, spool_dir=tmp_path, max_pending_events=2, max_block_seconds=MUCH_MORE)
    outbox = Outbox(settings, clock=StrictClock(), open_transport=log.open)
    for status in "01":
        assert outbox.put([update(status)], seconds=MUCH_MORE)
    interrupt(monkeypatch, lambda: outbox.put([update("2")], seconds=MUCH_MORE), after=begun)
    log.answers = True
    outbox.poll(0)
    threading.Timer(0.2, go_on.set).start()
    assert outbox.put([update("3")], seconds=MUCH_MORE)
    until(lambda: outbox.stats().accepted == 4, "the event of the interrupted call, which was under way", 30)
    assert [event.status for event in log.events] == ["0", "1", "2", "3"]
    outbox.give_up(0)
