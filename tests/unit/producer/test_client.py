"""The producer without a broker: what is refused at the call, the bounds, and the end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import UserDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jobstatus_producer import (
    BufferFullError,
    JobStatusProducer,
    NotAcknowledgedError,
    ProducerClosedError,
    ProducerError,
    ProducerSettings,
    SettingsError,
    SpoolError,
    UndeliveredError,
)
from jobstatus_producer.record import Record
from jobstatus_producer.spool.file import SpoolFile
from jobstatus_producer.traceparent import TRACEPARENT
from jobstatus_producer.tracking import Statuses
from jobstatus_schemas import JobStatusEvent
from support.waiting import until

NOBODY = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
"""Nobody listens on port 1."""
Open = Callable[..., JobStatusProducer]


@pytest.fixture
def open_jobs() -> Iterator[Open]:
    """A producer that reaches no broker; what is left at the end of the test is given up."""
    made: list[JobStatusProducer] = []

    def make(**more: object) -> JobStatusProducer:
        made.append(JobStatusProducer.from_env(NOBODY | {f"JOBSTATUS_{name}": str(v) for name, v in more.items()}))
        return made[-1]

    yield make
    for jobs in made:
        try:
            jobs.close(0)
        except UndeliveredError:
            continue


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"job_id": ""}, ValueError, "job_id"),
    ({"job_id": "a\x00"}, ValueError, "job_id"),
    ({"job_id": "\ud800"}, ValueError, "job_id"),
    ({"job_id": "j" * 513}, ValueError, "job_id"),
    ({"job_id": None}, TypeError, "job_id"),
    ({"job_id": 1.5}, TypeError, "job_id"),
    ({"job_id": True}, TypeError, "job_id"),
    ({"job_id": b"job"}, TypeError, "job_id"),
    ({"status": ""}, ValueError, "status"),
    ({"status": "s" * 65}, ValueError, "status"),
    ({"status": "a\x00"}, ValueError, "status"),
    ({"status": "\udfff"}, ValueError, "status"),
    ({"status": None}, TypeError, "status"),
    ({"status": 3}, TypeError, "status"),
    ({"status": "unheard-of"}, ValueError, "status"),
    ({"worker_id": ""}, ValueError, "worker_id"),
    ({"worker_id": "w" * 257}, ValueError, "worker_id"),
    ({"worker_id": "a\x00"}, ValueError, "worker_id"),
    ({"worker_id": 3}, TypeError, "worker_id"),
    ({"attempt": -1}, ValueError, "attempt"),
    ({"attempt": 2**31}, ValueError, "attempt"),
    ({"attempt": "1"}, TypeError, "attempt"),
    ({"attempt": True}, TypeError, "attempt"),
    ({"attempt": 1.0}, TypeError, "attempt"),
]


def test_wrong_arguments_are_refused_by_name_and_nothing_is_queued(open_jobs: Open) -> None:
    jobs = open_jobs(STATUSES="ok,failed")
    for change, kind, field in BAD:
        fields: dict[str, Any] = {"job_id": "job", "status": "ok", **change}
        with pytest.raises(kind, match=f"^{field}: "):
            jobs.update_job_status(**fields)
        with pytest.raises(kind, match=rf"^updates\[1\]: {field}: "):
            jobs.update_many([("job", "ok"), fields])
    stats = jobs.stats()
    assert (stats.accepted, stats.queue_depth) == (0, 0)


@pytest.mark.parametrize("update", [None, "job", ("job",), (1, 2, 3, 4), {"status": "ok"}, {"job_id": 1, "stat": "ok"}])
def test_an_update_of_another_form_is_refused_by_its_place(open_jobs: Open, update: Any) -> None:
    jobs = open_jobs()
    with pytest.raises(TypeError, match=r"^updates\[0\]: "):
        jobs.update_many([update])
    assert jobs.stats().accepted == 0


def test_an_update_is_told_what_it_has_and_what_it_may_have(open_jobs: Open) -> None:
    wrong: Any = {"job_id": 1, "status": "x", 1: 2, "z": 1}
    wanted = "wanted job_id and status, and of attempt, error_message, job_id, status, worker_id only"
    with pytest.raises(TypeError, match=rf"^updates\[0\]: {wanted}; got 'job_id', 'status', 1, 'z'$"):
        open_jobs().update_many([wrong])


def test_what_is_not_delivered_at_the_end_is_raised_with_the_reason(open_jobs: Open) -> None:
    jobs = open_jobs()
    jobs.update_job_status("job", "processing")
    until(lambda: jobs.stats().last_error is not None, "it is known that nobody listens")
    with pytest.raises(UndeliveredError, match=r"before the producer was closed \(_\w+: .+\): 1 event"):
        jobs.close(0)


def test_an_event_given_again_must_have_an_id_of_its_form(open_jobs: Open) -> None:
    jobs = open_jobs()
    with pytest.raises(ValueError, match=r"^updates\[0\]: event_id: wanted a UUID"):
        jobs.update_many([JobStatusEvent("17", "job", "ok", None, None, None, 1)])
    assert jobs.stats().accepted == 0


@pytest.mark.parametrize("message", ["\x00\ud800", "x" * 900_000, ValueError("\x00"), 17, b"\xff", object()])
def test_an_error_message_is_never_refused(open_jobs: Open, message: object) -> None:
    jobs = open_jobs()
    jobs.update_job_status("job", "error", message)
    assert jobs.stats().accepted == 1


def test_without_room_a_call_waits_its_bound_and_then_raises_with_the_event(open_jobs: Open) -> None:
    jobs = open_jobs(MAX_PENDING_EVENTS=3, MAX_BLOCK_SECONDS=0.3)
    for step in range(3):
        jobs.update_job_status("job", str(step))
    began = time.monotonic()
    with pytest.raises(BufferFullError, match=r"not accepted, no room within 0.3 s .*'job' error") as caught:
        jobs.update_job_status("job", "error", "why", attempt=4)
    assert 0.3 <= time.monotonic() - began < 0.3 + 2
    (event,) = caught.value.events
    assert event[1:6] == ("job", "error", "why", 4, None)
    stats = jobs.stats()
    assert (stats.accepted, stats.rejected, stats.queue_depth) == (3, 1, 3)


def test_what_waits_is_bounded_in_bytes_and_one_large_event_still_goes(open_jobs: Open) -> None:
    jobs = open_jobs(MAX_PENDING_BYTES=4_000, MAX_BLOCK_SECONDS=0)
    jobs.update_job_status("job", "error", "x" * 10_000)
    with pytest.raises(BufferFullError):
        jobs.update_job_status("job", "success")
    assert jobs.stats().queue_depth == 1
    small = open_jobs(MAX_PENDING_BYTES=3_800, MAX_BLOCK_SECONDS=0)
    for number in range(6):
        small.update_job_status(f"job-{number}", "error", "x" * 500)
    with pytest.raises(BufferFullError):
        small.update_job_status("job-6", "error", "x" * 500)


def test_many_updates_find_room_together_or_none_of_them_is_accepted(open_jobs: Open) -> None:
    jobs = open_jobs(MAX_PENDING_EVENTS=3, MAX_BLOCK_SECONDS=0)
    with pytest.raises(BufferFullError) as caught:
        jobs.update_many([("job", str(step)) for step in range(4)])
    assert [event.status for event in caught.value.events] == ["0", "1", "2", "3"]
    assert jobs.stats().accepted == 0
    jobs.update_many([("job", str(step)) for step in range(3)])


def test_close_raises_with_the_events_that_nobody_has(open_jobs: Open) -> None:
    jobs = open_jobs()
    for step in range(3):
        jobs.update_job_status("job", str(step))
    with pytest.raises(
        UndeliveredError, match=r"not delivered before the producer was closed \(.+\): 3 events"
    ) as caught:
        jobs.close(0.1)
    assert [event.status for event in caught.value.events] == ["0", "1", "2"]
    assert all(type(event) is JobStatusEvent for event in caught.value.events)
    jobs.close()


def test_after_close_a_call_raises_and_the_numbers_remain(open_jobs: Open) -> None:
    jobs = open_jobs()
    jobs.close()
    for call in (lambda: jobs.update_job_status("job", "ok"), lambda: jobs.update_many([("job", "ok")])):
        with pytest.raises(ProducerClosedError, match="nothing was queued"):
            call()
    assert jobs.stats().accepted == 0
    assert jobs.flush(0) == 0


def test_flush_is_bounded_and_says_how_much_is_left(open_jobs: Open) -> None:
    jobs = open_jobs()
    jobs.update_job_status("job", "ok")
    began = time.monotonic()
    assert jobs.flush(0.2) == 1
    assert time.monotonic() - began < 0.2 + 2


def test_wait_is_bounded_and_the_event_is_still_tried(open_jobs: Open) -> None:
    jobs = open_jobs(WAIT_SECONDS=0.2)
    with pytest.raises(NotAcknowledgedError, match=r"not acknowledged within 0.2 s") as caught:
        jobs.update_job_status("job", "ok", wait=True)
    assert [event.job_id for event in caught.value.events] == ["job"]
    assert jobs.stats().queue_depth == 1


def test_a_durable_producer_has_each_event_in_its_spool_when_the_call_returns(open_jobs: Open, tmp_path: Path) -> None:
    jobs = open_jobs(SPOOL_DIR=tmp_path, DURABLE="true")
    jobs.update_job_status("job", "ok")
    jobs.update_many([("job", "ok")] * 9)
    stats = jobs.stats()
    assert (stats.spooled, stats.spool_depth, stats.queue_depth) == (10, 10, 0)
    jobs.close(0)
    again = open_jobs(SPOOL_DIR=tmp_path)
    assert again.stats().spool_depth == 10


def test_a_spool_that_is_full_raises_at_once_with_the_event(open_jobs: Open, tmp_path: Path) -> None:
    jobs = open_jobs(SPOOL_DIR=tmp_path, DURABLE="true", SPOOL_MAX_BYTES=2000)

    def fill() -> None:
        for step in range(100):
            jobs.update_job_status("job", str(step))

    with pytest.raises(BufferFullError, match=r"the spool is full \(JOBSTATUS_SPOOL_MAX_BYTES=2000\)") as caught:
        fill()
    assert caught.value.events[0].status == str(jobs.stats().accepted)
    assert jobs.stats().spool_depth == jobs.stats().accepted > 0


def test_close_puts_into_the_spool_what_is_not_delivered(open_jobs: Open, tmp_path: Path) -> None:
    jobs = open_jobs(SPOOL_DIR=tmp_path)
    for step in range(5):
        jobs.update_job_status("job", str(step))
    jobs.close(0)
    again = open_jobs(SPOOL_DIR=tmp_path)
    assert again.stats().spool_depth == 5
    assert (again.stats().accepted, again.stats().taken_over) == (0, 5)
    assert again.stats().oldest_undelivered_seconds > 0


def test_a_queue_that_is_full_overflows_into_the_spool(open_jobs: Open, tmp_path: Path) -> None:
    jobs = open_jobs(SPOOL_DIR=tmp_path, MAX_PENDING_EVENTS=3)
    for step in range(10):
        jobs.update_job_status("job", str(step))
    stats = jobs.stats()
    assert stats.accepted == 10
    assert stats.queue_depth + stats.spool_depth == 10
    assert stats.queue_depth <= 3


def test_a_wrong_setting_leaves_nothing_in_the_spool_folder(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        JobStatusProducer.from_env(
            NOBODY | {"JOBSTATUS_SPOOL_DIR": str(tmp_path), "JOBSTATUS_KAFKA_NO_SUCH_THING": "1"}
        )
    assert list(tmp_path.iterdir()) == []


def test_a_spool_folder_that_cannot_be_written_is_said_at_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="JOBSTATUS_SPOOL_DIR"):
        JobStatusProducer.from_env(NOBODY | {"JOBSTATUS_SPOOL_DIR": str(tmp_path / "file")})


def test_words_that_are_not_allowed_are_refused_where_a_job_is_tracked(open_jobs: Open) -> None:
    jobs = open_jobs(STATUSES="processing,done,failed")
    with pytest.raises(ValueError, match="status: not one of the allowed words"):
        jobs.track("job-1")
    with pytest.raises(ValueError, match="status: not one of the allowed words"):
        jobs.tracked("job_id")
    jobs.tracked("job_id", attempt="attempt", statuses=Statuses("processing", "done", "failed"))


def test_where_no_thread_can_be_started_nothing_is_accepted_and_nothing_is_left(
    open_jobs: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(ProducerError, match=r"thread at interpreter shutdown.*nothing was queued"):
        open_jobs(SPOOL_DIR=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_loop_stands_still_for_no_slow_disk(
    open_jobs: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a drain that ends, `test_the_loop_stands_still_for_no_drain_that_ends` says the same."""
    jobs = open_jobs(SPOOL_DIR=tmp_path, DURABLE=True)
    begun, end = threading.Event(), threading.Event()
    ended_by_the_loop: list[bool] = []
    add = SpoolFile.add

    def slow_add(file: SpoolFile, records: Sequence[Record]) -> None:
        begun.set()
        ended_by_the_loop.append(end.wait(60))
        add(file, records)

    async def report() -> None:
        calls = [asyncio.create_task(jobs.aupdate_job_status("job", str(step))) for step in range(1, 5)]
        done, _ = await asyncio.wait(calls, timeout=0.05)
        assert not done, "there is no way yet"
        end.set()
        await asyncio.gather(*calls)

    monkeypatch.setattr(SpoolFile, "add", slow_add)
    thread = threading.Thread(target=partial(jobs.update_job_status, "job", "0"))
    thread.start()
    assert begun.wait(60)
    asyncio.run(report())
    thread.join()
    assert set(ended_by_the_loop) == {True}
    assert jobs.stats().accepted == 5


class Read(UserDict[str, str]):
    """Properties that know which threads have read them."""

    def __init__(self, properties: dict[str, str]) -> None:
        super().__init__(properties)
        self.by: list[threading.Thread] = []

    def __iter__(self) -> Iterator[str]:
        self.by.append(threading.current_thread())
        return super().__iter__()


def test_a_producer_that_begins_anew_does_so_beside_the_loop(begin_anew: Callable[[JobStatusProducer], None]) -> None:
    """As the first call in a forked child does."""
    properties = Read({"bootstrap.servers": "127.0.0.1:1"})
    jobs = JobStatusProducer(ProducerSettings(kafka=properties))
    begin_anew(jobs)
    properties.by.clear()
    asyncio.run(jobs.aupdate_job_status("job", "processing"))
    assert properties.by, "a new client was opened"
    assert threading.current_thread() not in properties.by
    with pytest.raises(UndeliveredError):
        jobs.close(0)


@pytest.mark.parametrize("broken", ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-\udcff", b"00-0a", 17])
def test_a_broken_trace_breaks_no_status(open_jobs: Open, broken: Any) -> None:
    jobs = open_jobs(MAX_BLOCK_SECONDS=0)
    token = TRACEPARENT.set(broken)
    try:
        jobs.update_job_status("job", "processing")
    finally:
        TRACEPARENT.reset(token)
    assert jobs.stats().queue_depth == 1
