"""The broker goes away and comes back: by a cut cable, by SIGKILL, while workers report and while they die."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from integration.producer import scripts
from integration.producer.reading import (
    Record,
    events_of,
    make_topic_at,
    read_all,
    shown_by_a_row,
    statuses_by_job,
)
from jobstatus_producer import BufferFullError, JobStatusEvent, JobStatusProducer
from jobstatus_producer.spool import folder as spool_folder
from jobstatus_schemas.protocol import LATE_HEADER
from support.breakable import Breakable
from support.waiting import until


class Reported(NamedTuple):
    """What the callers saw."""

    accepted: dict[str, list[str]]
    refused: list[JobStatusEvent]
    seconds: list[float]


@contextmanager
def reporting(jobs: JobStatusProducer, threads: int, pause: float = 0.004) -> Iterator[Reported]:
    """Threads that report until the block ends; each has its own jobs, whose statuses count up."""
    seen = Reported({}, [], [])
    stop = threading.Event()

    def work(worker: int) -> None:
        step = 0
        while not stop.wait(pause):
            job, status = f"{worker}-{step % 3}", str(step)
            began = time.perf_counter()
            try:
                jobs.update_job_status(job, status)
                seen.accepted.setdefault(job, []).append(status)
            except BufferFullError as error:
                seen.refused.extend(error.events)
            seen.seconds.append(time.perf_counter() - began)
            step += 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield seen
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def at(breakable: Breakable, topic: str) -> list[Record]:
    return read_all(breakable.kafka.bootstrap_servers, topic)


def straight(jobs: JobStatusProducer) -> int:
    """How many events were delivered without having been in the spool."""
    stats = jobs.stats()
    return stats.delivered - stats.drained


def is_late(record: Record) -> bool:
    return LATE_HEADER in record.headers


@pytest.mark.parametrize("fault", ["cable", "sigkill"])
def test_with_a_spool_every_event_arrives_in_its_jobs_order(breakable: Breakable, tmp_path: Path, fault: str) -> None:
    topic = make_topic_at(breakable.kafka.bootstrap_servers)
    jobs = JobStatusProducer.from_env(breakable.environ(topic, tmp_path))
    with reporting(jobs, threads=8) as seen:
        until(lambda: jobs.stats().delivered > 100, "the way is clear")
        if fault == "cable":
            breakable.proxy.deaf()
        else:
            breakable.kafka.nodes[0].kill()
        until(lambda: jobs.stats().spool_depth > 500, "events go to the spool")
        if fault == "cable":
            breakable.proxy.heal()
        else:
            breakable.kafka.nodes[0].start()
        until(lambda: jobs.stats().spool_depth == 0, "the spool is drained under load")
        before = straight(jobs)
        until(lambda: straight(jobs) > before + 100, "new events go straight to the broker again")
    assert jobs.flush(30) == 0
    stats = jobs.stats()
    jobs.close()
    assert seen.refused == []
    # each of the 8 threads would have waited at least once; a machine may hold up one of them, too
    waited = sum(seconds >= 5 for seconds in seen.seconds)
    assert waited < 8, "without a spool a call waits for 5 s; with one, max_block_seconds is 0"
    assert stats.accepted == stats.delivered == sum(map(len, seen.accepted.values()))
    assert stats.drained == stats.spooled > 500
    records = at(breakable, topic)
    assert statuses_by_job(records) == seen.accepted
    assert any(map(is_late, records))
    assert not all(map(is_late, records))
    assert list(tmp_path.iterdir()) == []


def test_a_drained_event_keeps_its_id_and_is_late_only_after_five_seconds(breakable: Breakable, tmp_path: Path) -> None:
    topic = make_topic_at(breakable.kafka.bootstrap_servers)
    jobs = JobStatusProducer.from_env(breakable.environ(topic, tmp_path))
    jobs.update_job_status("job", "at once", wait=True)
    # no copy of it can be under way
    breakable.proxy.refuse()
    breakable.proxy.cut()
    jobs.update_job_status("job", "long ago")
    until(lambda: jobs.stats().spool_depth == 1, "what waits longer than 5 s is spooled")
    (info,) = spool_folder.inspect(tmp_path)
    assert info.oldest is not None
    jobs.update_job_status("job", "just now")
    breakable.proxy.heal()
    assert jobs.flush(30) == 0
    jobs.close()
    records = at(breakable, topic)
    first = {record.event.status: record for record in reversed(records)}
    assert list(statuses_by_job(records)["job"]) == ["at once", "long ago", "just now"]
    assert first["long ago"].event.occurred_at == info.oldest
    assert is_late(first["long ago"])
    assert not is_late(first["at once"])


def test_without_a_spool_calls_block_at_most_their_bound_and_errors_carry_the_events(breakable: Breakable) -> None:
    topic = make_topic_at(breakable.kafka.bootstrap_servers)
    jobs = JobStatusProducer.from_env(breakable.environ(topic, MAX_PENDING_EVENTS=400, MAX_BLOCK_SECONDS=0.2))
    with reporting(jobs, threads=8) as seen:
        until(lambda: jobs.stats().delivered > 100, "the way is clear")
        breakable.proxy.deaf()
        until(lambda: len(seen.refused) >= 16, "the buffer is full")
        breakable.proxy.heal()
        before = jobs.stats().delivered
        until(lambda: jobs.stats().delivered > before + 1000, "it goes on")
    assert jobs.flush(30) == 0
    jobs.close()
    assert max(seen.seconds) < 0.2 + 2
    assert statuses_by_job(at(breakable, topic)) == seen.accepted
    accepted = {(job, status) for job, statuses in seen.accepted.items() for status in statuses}
    assert accepted.isdisjoint((event.job_id, event.status) for event in seen.refused)


def test_without_a_spool_an_event_is_tried_for_as_long_as_it_takes_and_is_not_marked_late(
    breakable: Breakable,
) -> None:
    """What that means for the order between workers that give no attempts is in docs/how-to/instrument-workers.md:
    the long-delayed event comes after the other worker's in the log, is not known to be late, and so counts."""
    servers = breakable.kafka.bootstrap_servers
    topic = make_topic_at(servers, partitions=1, message_timestamp_type="LogAppendTime")
    delayed = JobStatusProducer.from_env(breakable.environ(topic))
    delayed.update_job_status("job", "pending", worker_id="first", wait=True)
    # no copy of the next one can be under way
    breakable.proxy.refuse()
    breakable.proxy.cut()
    delayed.update_job_status("job", "processing", worker_id="first")
    past_the_proxy = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": breakable.kafka.internal_bootstrap_servers}
    with JobStatusProducer.from_env(breakable.environ(topic) | past_the_proxy) as other:
        other.update_job_status("job", "success", worker_id="second", wait=True)
    until(lambda: delayed.stats().oldest_undelivered_seconds > 5.5, "it waits longer than a spool would let it")
    breakable.proxy.heal()
    assert delayed.flush(30) == 0
    delayed.close()
    records = at(breakable, topic)
    assert [record.event.status for record in records] == ["pending", "success", "processing"]
    assert records[-1].headers == {}
    assert records[-1].event.occurred_at < records[-2].event.occurred_at
    assert [event.status for event in shown_by_a_row(records)] == ["pending", "success", "processing"]


def test_a_client_in_a_fatal_state_is_made_anew_and_no_caller_hears_of_it(
    breakable: Breakable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With this property librdkafka declares itself dead when records under way are called back."""
    topic = make_topic_at(breakable.kafka.bootstrap_servers)
    environ = breakable.environ(topic, tmp_path, KAFKA_ENABLE_GAPLESS_GUARANTEE="true")
    jobs = JobStatusProducer.from_env(environ)
    jobs.update_job_status("job", "0", wait=True)
    breakable.proxy.deaf()
    for step in range(1, 50):
        jobs.update_job_status("job", str(step))
    until(lambda: jobs.stats().spool_depth == 49, "what is under way is called back")
    breakable.proxy.heal()
    for step in range(50, 100):
        jobs.update_job_status("job", str(step))
    assert jobs.flush(30) == 0
    jobs.close()
    assert "Gap-less ordering would not be guaranteed" in caplog.text
    assert "ran into an error" not in caplog.text
    assert statuses_by_job(at(breakable, topic)) == {"job": [str(step) for step in range(100)]}


REPORT = """
jobs = JobStatusProducer.from_env()
step = 0
while True:
    jobs.update_job_status("job-%d" % (step % 5), str(step))
    stats = jobs.stats()
    # what the spool has when the call has returned is what must survive
    print(step, int(stats.spool_depth > 0), flush=True)
    step += 1
    time.sleep(0.002)
"""


def test_what_is_in_the_spool_of_a_killed_worker_arrives_at_the_next_start(
    breakable: Breakable, tmp_path: Path
) -> None:
    topic = make_topic_at(breakable.kafka.bootstrap_servers)
    environ = breakable.environ(topic, tmp_path)
    breakable.proxy.deaf()
    process = scripts.start(REPORT, environ)
    spooled: list[int] = []
    while len(spooled) < 300:
        step, in_spool = map(int, scripts.read_line(process).split())
        if in_spool:
            spooled.append(step)
    process.send_signal(signal.SIGKILL)
    scripts.end(process)
    breakable.proxy.heal()
    with JobStatusProducer.from_env(environ) as jobs:
        assert jobs.stats().spool_depth >= len(spooled)
        assert jobs.flush(30) == 0
    arrived = statuses_by_job(at(breakable, topic))
    assert {str(step) for step in spooled} <= {status for statuses in arrived.values() for status in statuses}
    assert all(list(map(int, statuses)) == sorted(map(int, statuses)) for statuses in arrived.values())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("broker", ["there", "away"])
def test_a_durable_producer_loses_nothing_to_sigkill(breakable: Breakable, tmp_path: Path, broker: str) -> None:
    topic = make_topic_at(breakable.kafka.bootstrap_servers)
    environ = breakable.environ(topic, tmp_path, DURABLE="true")
    if broker == "away":
        breakable.proxy.deaf()
    process = scripts.start(REPORT, environ)
    returned = [int(scripts.read_line(process).split()[0]) for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    scripts.end(process)
    breakable.proxy.heal()
    with JobStatusProducer.from_env(environ) as jobs:
        assert jobs.flush(30) == 0
    arrived = statuses_by_job(at(breakable, topic))
    assert {str(step) for step in returned} <= {status for statuses in arrived.values() for status in statuses}


def test_two_processes_share_a_folder_and_a_dead_ones_spool_goes_to_one(breakable: Breakable, tmp_path: Path) -> None:
    topic = make_topic_at(breakable.kafka.bootstrap_servers)
    environ = breakable.environ(topic, tmp_path, DURABLE="true")
    breakable.proxy.deaf()
    workers = [scripts.start(REPORT.replace("job-", f"worker-{number}-"), environ) for number in range(2)]
    for worker in workers:
        for _ in range(50):
            scripts.read_line(worker)
    assert [info.in_use for info in spool_folder.inspect(tmp_path)] == [True, True]
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
        scripts.end(worker)
    held = sorted(info.events for info in spool_folder.inspect(tmp_path))
    assert min(held) >= 50
    take = "jobs = JobStatusProducer.from_env(); print(jobs.stats().spool_depth, flush=True); sys.stdin.read()"
    takers = [scripts.start(take, environ | {"JOBSTATUS_CLOSE_SECONDS": "30"}) for _ in range(3)]
    assert sum(int(scripts.read_line(taker)) for taker in takers) == sum(held), "each spool is taken by one"
    breakable.proxy.heal()
    assert [scripts.end(taker)[0] for taker in takers] == [0, 0, 0]
    records = at(breakable, topic)
    assert len(events_of(records)) >= sum(held)
    assert sum(map(len, statuses_by_job(records).values())) == sum(held)


FILL = """
import json, resource
from jobstatus_producer import BufferFullError
jobs = JobStatusProducer.from_env()
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
accepted, refused, worst = 0, 0, 0.0
while refused < 3:
    began = time.perf_counter()
    try:
        jobs.update_job_status("job", str(accepted), "m" * 500)
        accepted += 1
    except BufferFullError as error:
        refused += len(error.events)
    worst = max(worst, time.perf_counter() - began)
stats = jobs.stats()
print(json.dumps([accepted, stats.spool_depth, stats.queue_depth, worst, stats.last_error]), flush=True)
sys.stdin.read()
left = jobs.flush(30)
print(left, flush=True)
"""


def test_a_full_disk_means_bounded_waiting_and_nothing_accepted_is_lost(breakable: Breakable, tmp_path: Path) -> None:
    topic = make_topic_at(breakable.kafka.bootstrap_servers)
    breakable.proxy.deaf()
    environ = breakable.environ(topic, tmp_path, MAX_PENDING_EVENTS=100, MAX_BLOCK_SECONDS=0.1)
    process = scripts.start(FILL, environ)
    accepted, spool_depth, queue_depth, worst, last_error = json.loads(scripts.read_line(process))
    assert accepted == spool_depth + queue_depth
    assert (spool_depth > 100, queue_depth) == (True, 100)
    assert worst < 0.1 + 2
    breakable.proxy.heal()
    code, out, err = scripts.end(process)
    assert (code, out.strip()) == (0, "0"), err
    assert "the spool cannot be written, events wait in memory" in err
    statuses = statuses_by_job(at(breakable, topic))["job"]
    assert statuses == [str(step) for step in range(accepted)]
    assert last_error


def test_a_folder_that_is_read_only_is_said_at_start(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    # root may write anywhere but there
    folder = "/proc/jobstatus" if tmp_path.stat().st_uid == 0 else f"{tmp_path}/spool"
    environ = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "JOBSTATUS_SPOOL_DIR": folder}
    code, _, err = scripts.run("JobStatusProducer.from_env()", environ)
    assert code == 1
    assert f"SpoolError: JOBSTATUS_SPOOL_DIR: {folder} cannot be used: " in err


def test_other_peoples_errors_name_no_password(tmp_path: Path) -> None:
    environ = {
        "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "JOBSTATUS_KAFKA_SASL_PASSWORD": "hunter2",
        "JOBSTATUS_KAFKA_SASL_MECHANISM": "NONSENSE",
        "JOBSTATUS_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "JOBSTATUS_CLOSE_SECONDS": "0.2",
    }
    _, out, err = scripts.run("JobStatusProducer.from_env().update_job_status('a', 'b')", environ)
    assert "JOBSTATUS_KAFKA" in err
    assert "hunter2" not in out + err
