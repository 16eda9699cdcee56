"""Children that frameworks fork and end by `os._exit`, which runs no `atexit`: RQ's work horses, Airflow's tasks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import rq
from fakeredis import TcpFakeServer
from integration.producer import scripts
from integration.producer.conftest import Environ
from integration.producer.reading import arrived
from jobstatus_local.kafka import LocalKafka
from jobstatus_producer.spool import folder as spool_folder

BOTH = ["processing", "success"]
TASKS = """
import os
from jobstatus_producer import update_job_status

def work(job_id):
    update_job_status(job_id, "processing")
    update_job_status(job_id, "success")
"""
# fakeredis answers `client_info` in words that the client cannot read
WORKER = """
import sys
import redis, rq
redis.Redis.client_info = lambda self: {"addr": "127.0.0.1:0"}
connection = redis.Redis.from_url(sys.argv[1])
rq.Worker([rq.Queue(connection=connection)], connection=connection).work(burst=True)
"""


@contextmanager
def a_redis() -> Iterator[str]:
    server = TcpFakeServer(("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield "redis://{}:{}".format(*server.server_address)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def work_horses(folder: Path, environ: dict[str, str], jobs: int) -> str:
    """Have RQ's default worker fork a process for each job. Returns the log."""
    (folder / "tasks.py").write_text(TASKS)
    with a_redis() as url:
        queue = rq.Queue(connection=redis.Redis.from_url(url))
        for number in range(jobs):
            queue.enqueue("tasks.work", f"job-{number}")
        command = [sys.executable, "-c", WORKER, url]
        done = subprocess.run(
            command, env={**os.environ, **environ}, cwd=folder, capture_output=True, text=True, timeout=120
        )
        queue.connection.close()
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_rqs_work_horses_lose_nothing(kafka: LocalKafka, topic: str, environ: Environ, tmp_path: Path) -> None:
    log = work_horses(tmp_path, environ(topic), 5)
    assert arrived(kafka, topic) == {f"job-{number}": BOTH for number in range(5)}, log


def test_what_rqs_work_horses_lose_without_a_broker_is_said(tmp_path: Path) -> None:
    log = work_horses(tmp_path, scripts.NOBODY | {"JOBSTATUS_CLOSE_SECONDS": "0.3"}, 2)
    for number in range(2):
        assert f"is lost with it: 2 events ('job-{number}' processing, 'job-{number}' success); why: " in log


def test_what_rqs_work_horses_report_without_a_broker_is_in_the_spool(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    work_horses(tmp_path, scripts.NOBODY | {"JOBSTATUS_CLOSE_SECONDS": "0.3", "JOBSTATUS_SPOOL_DIR": str(spool)}, 2)
    assert sum(info.events for info in spool_folder.inspect(spool)) == 4


@pytest.mark.parametrize("made", ["before", "after"])
def test_a_forked_task_that_ends_by_os_exit_loses_nothing(
    kafka: LocalKafka, topic: str, environ: Environ, made: str
) -> None:
    """As Airflow's executors do: the child inherits everything, works, and ends in a `finally`."""
    code, _, err = scripts.run(
        f"""
        jobs = JobStatusProducer.from_env() if {made == "before"} else None
        children = []
        for number in range(8):
            children.append(os.fork())
            if not children[-1]:
                try:
                    jobs = jobs or JobStatusProducer.from_env()
                    jobs.update_job_status(number, "processing")
                    jobs.update_job_status(number, "success")
                finally:
                    os._exit(7)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert codes == [7] * 8, codes
        """,
        environ(topic),
    )
    assert (code, err) == (0, "")
    assert arrived(kafka, topic) == {str(number): BOTH for number in range(8)}


def test_a_second_os_exit_ends_the_process_at_once() -> None:
    code, out, err = scripts.run(
        """
        jobs = JobStatusProducer.from_env()
        jobs.update_job_status("job", "processing")
        def watch():
            while not flushing.wait(0.05):
                pass
            time.sleep(0.2)
            os._exit(4)
        flushing = threading.Event()
        threading.Thread(target=watch, daemon=True).start()
        flushing.set()
        os._exit(3)
        """,
        scripts.NOBODY | {"JOBSTATUS_CLOSE_SECONDS": "100"},
    )
    assert code == 4, (out, err)


def test_closing_the_last_producer_puts_os_exit_back(topic: str, environ: Environ) -> None:
    code, out, err = scripts.run(
        """
        before = os._exit
        with JobStatusProducer.from_env(), JobStatusProducer.from_env():
            print(os._exit is before)
        print(os._exit is before)
        """,
        environ(topic),
    )
    assert (code, out, err) == (0, "False\nTrue\n", "")
