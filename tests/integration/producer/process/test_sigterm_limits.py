"""SIGTERM to a process that goes on after it, or whose flush cannot deliver: nothing is lost without a word."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from integration.producer import scripts
from integration.producer.conftest import Environ
from integration.producer.reading import read_all, statuses_by_job
from jobstatus_local.kafka import LocalKafka
from jobstatus_producer.spool import folder as spool_folder

NOBODY = scripts.NOBODY | {"JOBSTATUS_CLOSE_SECONDS": "0.5"}

GOES_ON = """
    from confluent_kafka.admin import AdminClient, NewTopic
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(time.monotonic()))
    jobs = JobStatusProducer.from_env()
    jobs.update_job_status("job", "processing", wait={wait})
    while not ({wait} or jobs.stats().failed):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    # the flush is over, and its deadline has passed
    while not told or time.monotonic() < told[0] + 0.6:
        time.sleep(0.05)
    admin = AdminClient({{"bootstrap.servers": os.environ["JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS"]}})
    if not {wait}:
        admin.create_topics([NewTopic(os.environ["JOBSTATUS_TOPIC"], 1)])[os.environ["JOBSTATUS_TOPIC"]].result(30)
    jobs.update_job_status("job", "success")
    assert jobs.flush(40) == 0, jobs.stats()
    jobs.close()
"""


@pytest.mark.parametrize("spool", ["none", "spool", "durable"])
@pytest.mark.parametrize("fails", [False, True], ids=["the way is clear", "an event came back before"])
def test_a_process_that_goes_on_after_sigterm_delivers_for_as_long_as_it_does(
    kafka: LocalKafka, admin: AdminClient, topic: str, environ: Environ, tmp_path: Path, spool: str, fails: bool
) -> None:
    more = {} if spool == "none" else {"SPOOL_DIR": tmp_path, "DURABLE": int(spool == "durable")}
    place = f"{topic}-made-later" if fails else topic
    code, _, err = scripts.run(GOES_ON.format(wait=not fails), environ(place, CLOSE_SECONDS=0.5, **more))
    assert code == 0, err
    assert statuses_by_job(read_all(kafka.bootstrap_servers, place)) == {"job": ["processing", "success"]}


LOST = """
    {before}
    jobs = JobStatusProducer.from_env()
    for number in range(200):
        jobs.update_job_status(number, "success")
    print("ready", flush=True)
    {then}
"""
CANNOT_WRITE = """
    from jobstatus_producer.spool.database import SpoolWriteError
    from jobstatus_producer.spool.file import SpoolFile
    def fails(*_): raise SpoolWriteError("disk full")
    SpoolFile.add = fails
"""


@pytest.mark.parametrize("then", ["rest()", "jobs.close(20)"])
@pytest.mark.parametrize(
    ("more", "before", "kept"),
    [
        ({}, "", False),
        ({"JOBSTATUS_SPOOL_DIR": "{}"}, CANNOT_WRITE, False),
        ({"JOBSTATUS_SPOOL_DIR": "{}", "JOBSTATUS_SPOOL_MAX_BYTES": "10000"}, "", True),
    ],
    ids=["no spool", "a spool that cannot be written", "a spool that is full"],
)
def test_what_sigterm_takes_with_it_is_said(
    tmp_path: Path, more: dict[str, str], before: str, kept: bool, then: str
) -> None:
    environ = NOBODY | {name: value.format(tmp_path) for name, value in more.items()}
    process = scripts.start(LOST.format(before=before, then=then), environ)
    assert scripts.read_line(process) == "ready"
    process.send_signal(signal.SIGTERM)
    code, _, err = scripts.end(process, 30)
    assert code == -signal.SIGTERM
    spooled = sum(info.events for info in spool_folder.inspect(tmp_path))
    assert (spooled > 0) == kept
    first = ", ".join(f"'{number}' success" for number in range(spooled, spooled + 3))
    said = [line for line in err.splitlines() if "is lost with it" in line]
    assert len(said) == 1, err
    assert f"is lost with it: {200 - spooled} events ({first} and {197 - spooled} more); why: " in said[0]
    assert ("\nthe spool is full (JOBSTATUS_SPOOL_MAX_BYTES=10000)" in f"\n{err}") == kept


def test_a_call_that_comes_too_late_for_the_flush_of_sigterm_waits_for_the_end(
    kafka: LocalKafka, topic: str, environ: Environ, tmp_path: Path
) -> None:
    log = tmp_path / "returned"
    process = scripts.start(
        f"""
        log = os.open({str(log)!r}, os.O_WRONLY | os.O_CREAT)
        jobs = JobStatusProducer.from_env()
        jobs.update_job_status("job", "0", wait=True)
        print("ready", flush=True)
        step = 0
        while True:
            step += 1
            jobs.update_job_status("job", str(step))
            os.write(log, b"%d\\n" % step)
            time.sleep(0.001)
        """,
        environ(topic, CLOSE_SECONDS=1),
    )
    assert scripts.read_line(process) == "ready"
    process.send_signal(signal.SIGTERM)
    code, _, err = scripts.end(process, 30)
    assert (code, err) == (-signal.SIGTERM, "")
    returned = [int(line) for line in log.read_text().splitlines()]
    found = statuses_by_job(read_all(kafka.bootstrap_servers, topic))["job"]
    assert [int(status) for status in found][: len(returned) + 1] == [0, *returned]
