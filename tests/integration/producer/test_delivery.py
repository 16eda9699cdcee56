"""A worker's calls and what they leave in the topic, on a real broker that is there."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from integration.producer.conftest import Environ
from integration.producer.reading import events_of, read_all, statuses_by_job
from jobstatus_local.kafka import LocalKafka
from jobstatus_producer import JobStatusProducer, NotAcknowledgedError, RefusedError, Stats
from jobstatus_producer.spool import folder as spool_folder
from jobstatus_producer.traceparent import TRACEPARENT
from jobstatus_schemas import CODEC
from jobstatus_schemas.event import MAX_ERROR_MESSAGE_BYTES
from support.fixture_types import MakeTopic
from support.waiting import until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_an_event_arrives_as_it_was_reported(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    before = time.time_ns() // 1000
    with JobStatusProducer.from_env(environ(topic, WORKER_ID="w-1")) as jobs:
        jobs.update_job_status("job-17", "processing")
        jobs.update_job_status("job-17", "error", ValueError("no"), attempt=2, worker_id="w-2")
    first, second = read_all(kafka.bootstrap_servers, topic)
    assert (first.key, first.headers) == (b"job-17", {})
    assert first.event[1:6] == ("job-17", "processing", None, None, "w-1")
    assert second.event[1:6] == ("job-17", "error", "no", 2, "w-2")
    assert before <= first.event.occurred_at < second.event.occurred_at <= time.time_ns() // 1000
    assert UUID(first.event.event_id).version == 4
    assert first.event.event_id != second.event.event_id


@pytest.mark.parametrize("durable", [False, True])
def test_the_first_event_of_a_new_producer_need_not_wait_for_the_clients_half_second(
    topic: str, environ: Environ, tmp_path: Path, durable: bool
) -> None:
    """The middle of five new producers, as some are fast by chance; again twice, as all are slow on a busy machine."""
    more = {"SPOOL_DIR": tmp_path, "DURABLE": 1} if durable else {}

    def seconds() -> float:
        with JobStatusProducer.from_env(environ(topic, **more)) as jobs:
            began = time.monotonic()
            jobs.update_job_status("job", "processing", wait=True)
            return time.monotonic() - began

    assert any(sorted(seconds() for _ in range(5))[2] < 0.4 for _ in range(3))


def test_job_ids_of_every_allowed_type(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    with JobStatusProducer.from_env(environ(topic)) as jobs:
        for job_id in ("größe", 17, UUID(int=1)):
            jobs.update_job_status(job_id, "ok")
    found = {record.key: record.event.job_id for record in read_all(kafka.bootstrap_servers, topic)}
    assert found == {text.encode(): text for text in ("größe", "17", str(UUID(int=1)))}


def test_sixteen_threads_share_a_producer_without_loss(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    with JobStatusProducer.from_env(environ(topic)) as jobs:

        def work(worker: int) -> None:
            for step in range(500):
                jobs.update_job_status(f"{worker}-{step % 5}", str(step))

        _in_threads(work, 16)
        assert jobs.flush(30) == 0
        stats = jobs.stats()
        assert (stats.accepted, stats.delivered, stats.queue_depth) == (8000, 8000, 0)
    records = read_all(kafka.bootstrap_servers, topic)
    assert len(records) == 8000
    assert statuses_by_job(records) == {
        f"{worker}-{job}": [str(step) for step in range(500) if step % 5 == job]
        for worker in range(16)
        for job in range(5)
    }
    for partition in {record.partition for record in records}:
        stamps = [record.event.occurred_at for record in records if record.partition == partition]
        assert stamps == sorted(set(stamps)), "the log's order is the order of the time stamps"


def _in_threads(work: Callable[[int], None], count: int) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_wait_returns_when_the_broker_has_it(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    with JobStatusProducer.from_env(environ(topic)) as jobs:
        jobs.update_job_status("job", "first", wait=True)
        assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == {"job": ["first"]}
        assert jobs.update_many([(f"job-{n}", "second") for n in range(100)], wait=True) == 100
        assert len(read_all(kafka.bootstrap_servers, topic)) == 101
        assert jobs.stats().queue_depth == 0


def test_who_waits_for_room_first_and_then_for_the_broker_is_told(
    kafka: LocalKafka, topic: str, environ: Environ
) -> None:
    with JobStatusProducer.from_env(environ(topic, MAX_PENDING_EVENTS=1, MAX_BLOCK_SECONDS=30)) as jobs:
        failed: list[Exception] = []

        def work(worker: int) -> None:
            try:
                for step in range(5):
                    jobs.update_job_status(worker, str(step), wait=True)
            except NotAcknowledgedError as error:
                failed.append(error)

        _in_threads(work, 8)
    assert failed == []
    assert len(read_all(kafka.bootstrap_servers, topic)) == 40


def test_many_updates_in_every_form(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    with JobStatusProducer.from_env(environ(topic)) as jobs:
        assert jobs.update_many([]) == 0
        jobs.update_many(
            [("a", "x"), ["a", "y", "why"], {"job_id": "a", "status": "z", "attempt": 3, "worker_id": "w"}]
        )
    events = events_of(read_all(kafka.bootstrap_servers, topic))
    assert [event[2:6] for event in events] == [("x", None, None, None), ("y", "why", None, None), ("z", None, 3, "w")]


def test_an_event_given_again_keeps_its_id(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    with JobStatusProducer.from_env(environ(topic)) as jobs:
        jobs.update_job_status("a", "x", wait=True)
        (first,) = events_of(read_all(kafka.bootstrap_servers, topic))
        jobs.update_many([first])
    again = events_of(read_all(kafka.bootstrap_servers, topic))[1]
    assert again.event_id == first.event_id
    assert again.occurred_at > first.occurred_at


def test_an_error_message_of_900_kb_arrives_cut_and_one_with_nul_escaped(
    kafka: LocalKafka, topic: str, environ: Environ
) -> None:
    with JobStatusProducer.from_env(environ(topic)) as jobs:
        jobs.update_job_status("job", "error", "x" * 900_000)
        jobs.update_job_status("job", "error", "a\x00b")
    long, short = events_of(read_all(kafka.bootstrap_servers, topic))
    assert long.error_message is not None
    assert len(long.error_message.encode()) <= MAX_ERROR_MESSAGE_BYTES
    assert "cut by jobstatus" in long.error_message
    assert short.error_message == "a\\x00b"


def test_an_event_that_the_broker_refuses_is_raised_and_stops_no_other(
    kafka: LocalKafka, make_topic: MakeTopic, environ: Environ
) -> None:
    topic = make_topic(max_message_bytes=500)
    jobs = JobStatusProducer.from_env(environ(topic))
    with pytest.raises(RefusedError, match="MSG_SIZE_TOO_LARGE") as caught:
        jobs.update_job_status("big", "error", "x" * 2000, wait=True)
    assert [event.job_id for event in caught.value.events] == ["big"]
    jobs.update_job_status("big-2", "error", "x" * 2000)
    jobs.update_job_status("small", "ok")
    with pytest.raises(RefusedError) as caught:
        jobs.flush(20)
    assert [event.job_id for event in caught.value.events] == ["big-2"]
    assert jobs.flush(20) == 0
    stats = jobs.stats()
    assert (stats.accepted, stats.delivered, stats.refused) == (3, 1, 2)
    jobs.close()
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == {"small": ["ok"]}


@pytest.mark.parametrize("durable", [False, True])
def test_events_that_are_too_large_together_only_arrive_all_the_same(
    kafka: LocalKafka, make_topic: MakeTopic, environ: Environ, tmp_path: Path, durable: bool
) -> None:
    """One that is too large by itself does not take those with it that are in its batch."""
    topic = make_topic(max_message_bytes=500)
    more = {"SPOOL_DIR": tmp_path, "DURABLE": "true"} if durable else {}
    with JobStatusProducer.from_env(environ(topic, **more)) as jobs:
        jobs.update_many([("job", str(step), "x" * 2000 if step == 7 else None) for step in range(20)])
        until(lambda: jobs.stats().refused == 1 and jobs.stats().delivered == 19, "all but one are delivered")
        if not durable:
            with pytest.raises(RefusedError):
                jobs.flush()
    expected = [str(step) for step in range(20) if step != 7]
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == {"job": expected}


def test_a_refused_event_is_kept_in_the_spool_where_there_is_one(
    kafka: LocalKafka, make_topic: MakeTopic, environ: Environ, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    topic = make_topic(max_message_bytes=500)
    with JobStatusProducer.from_env(environ(topic, SPOOL_DIR=tmp_path)) as jobs:
        jobs.update_job_status("big", "error", "x" * 2000)
        jobs.update_job_status("small", "ok")
        # to close may leave it to the next start: it goes out alone, after what was refused with it
        assert jobs.flush(60) == 0
    (info,) = spool_folder.inspect(tmp_path)
    assert [(refused.record.event(CODEC).job_id, refused.reason[:18]) for refused in info.refused] == [
        ("big", "MSG_SIZE_TOO_LARGE")
    ]
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == {"small": ["ok"]}
    assert "the broker refuses an event of job 'big'" in caplog.text


def test_a_topic_that_is_not_there_is_named_and_the_event_arrives_when_it_is_made(
    kafka: LocalKafka, admin: AdminClient, environ: Environ
) -> None:
    topic = f"made-later-{uuid4()}"
    with JobStatusProducer.from_env(environ(topic, WAIT_SECONDS=0.5)) as jobs:
        jobs.update_job_status("job", "first")
        until(lambda: "UNKNOWN_TOPIC_OR_PART" in (jobs.stats().last_error or ""), "the topic is missed")
        with pytest.raises(NotAcknowledgedError, match=rf"in topic '{topic}' .*UNKNOWN_TOPIC.*still being tried"):
            jobs.update_job_status("job", "second", wait=True)
        admin.create_topics([NewTopic(topic, 1)])[topic].result(30)
        until(lambda: jobs.stats().delivered == 2, "both are delivered")
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == {"job": ["first", "second"]}


def test_a_trace_goes_on_in_a_header(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    def report(jobs: JobStatusProducer, trace: str | None) -> None:
        token = TRACEPARENT.set(trace)
        jobs.update_job_status("job", str(trace))
        TRACEPARENT.reset(token)

    with JobStatusProducer.from_env(environ(topic)) as jobs:
        for trace in (TRACE, "broken", None):
            report(jobs, trace)
    with JobStatusProducer.from_env(environ(topic) | {"TRACEPARENT": TRACE[:-1] + "0"}) as jobs:
        report(jobs, None)
    headers = [record.headers for record in read_all(kafka.bootstrap_servers, topic)]
    assert headers == [{"traceparent": TRACE.encode()}, {}, {}, {"traceparent": (TRACE[:-1] + "0").encode()}]


def test_what_was_delivered_makes_room_again(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    with JobStatusProducer.from_env(environ(topic, MAX_PENDING_BYTES=2_000, MAX_BLOCK_SECONDS=30)) as jobs:
        for step in range(300):
            jobs.update_job_status("job", str(step), "x" * 300)
        assert jobs.flush(30) == 0
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == {"job": [str(step) for step in range(300)]}


def test_awaited_updates_from_many_tasks(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    async def main() -> Stats:
        async with JobStatusProducer.from_env(environ(topic)) as jobs:

            async def work(task: int) -> None:
                for step in range(10):
                    await jobs.aupdate_job_status(str(task), str(step), wait=step % 2 == 0)

            await asyncio.gather(*map(work, range(50)))
            assert await jobs.aupdate_many([("many", str(step)) for step in range(20)], wait=True) == 20
            assert await jobs.aupdate_many([]) == 0
            assert await jobs.aflush() == 0
            return jobs.stats()

    assert asyncio.run(main()).delivered == 520
    expected = {str(task): [str(step) for step in range(10)] for task in range(50)}
    expected["many"] = [str(step) for step in range(20)]
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == expected


def test_an_awaited_update_that_is_refused_raises(kafka: LocalKafka, make_topic: MakeTopic, environ: Environ) -> None:
    async def main() -> None:
        async with JobStatusProducer.from_env(environ(make_topic(max_message_bytes=500))) as jobs:
            with pytest.raises(RefusedError):
                await jobs.aupdate_job_status("big", "error", "x" * 2000, wait=True)
            with pytest.raises(ValueError, match="status: empty"):
                await jobs.aupdate_job_status("job", "")

    asyncio.run(main())


def test_tracked_work_is_in_the_topic(kafka: LocalKafka, topic: str, environ: Environ) -> None:
    with JobStatusProducer.from_env(environ(topic)) as jobs:

        @jobs.tracked("number")
        def work(number: int) -> float:
            return 1 / number

        assert work(2) == 0.5
        with pytest.raises(ZeroDivisionError):
            work(0)
        with jobs.track("by hand", attempt=4):
            pass
    events = events_of(read_all(kafka.bootstrap_servers, topic))
    found = {(event.job_id, event.status): (event.error_message, event.attempt) for event in events}
    assert found == {
        ("2", "processing"): (None, None),
        ("2", "success"): (None, None),
        ("0", "processing"): (None, None),
        ("0", "error"): ("ZeroDivisionError: division by zero", None),
        ("by hand", "processing"): (None, 4),
        ("by hand", "success"): (None, 4),
    }
