"""A bound that is set holds for the spool's disk, too."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from jobstatus_producer import BufferFullError, JobStatusProducer, UndeliveredError
from jobstatus_producer.record import Record
from jobstatus_producer.spool import folder as spool_folder
from jobstatus_producer.spool.database import SpoolWriteError
from jobstatus_producer.spool.file import SpoolFile
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
