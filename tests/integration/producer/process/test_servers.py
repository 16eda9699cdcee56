"""Workers that other programs fork, and end in their own ways: Celery's pool, Gunicorn's and Dramatiq's workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from integration.producer.conftest import Environ
from integration.producer.reading import read_all, statuses_by_job
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.ports import LOOPBACK, PortLease
from support.waiting import until

BIN = Path(sys.executable).parent

TASKS = """
import os
from celery import Celery
from jobstatus_producer import JobStatusProducer

app = Celery("pool", broker="filesystem://")
folders = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
app.conf.update(broker_transport_options=folders, worker_prefetch_multiplier=1)
jobs = JobStatusProducer.from_env()  # in the parent, before it forks

@app.task
def work(number):
    jobs.update_job_status(f"job-{number}", "processing")
    jobs.update_job_status(f"job-{number}", "success")
    with open("done", "a") as done:
        done.write(f"{number} {os.getpid()}\\n")
"""

WEB = """
from jobstatus_producer import JobStatusProducer

jobs = JobStatusProducer.from_env()

def app(environ, start):
    job_id = environ["PATH_INFO"][1:]
    jobs.update_job_status(job_id, "processing")
    jobs.update_job_status(job_id, "success")
    start("204 No Content", [])
    return [b""]
"""


@contextmanager
def served(argv: Sequence[str], folder: Path, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            argv, env={**os.environ, **environ}, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    except BaseException:
        print((folder / "log").read_text())
        raise
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


BOTH = ["processing", "success"]


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    """A folder with the tasks' module, an empty queue, and the list of what was done."""
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "queue").mkdir()
    (tmp_path / "done").touch()
    return tmp_path


def send(queue: Path, count: int, variables: dict[str, str]) -> None:
    """Put tasks into the queue."""
    words = f"import tasks\nfor number in range({count}): tasks.work.delay(number)"
    subprocess.run([sys.executable, "-c", words], env={**os.environ, **variables}, cwd=queue, check=True, timeout=60)


def finished(queue: Path) -> dict[str, str]:
    """The tasks that were done, each with the process that did it."""
    return dict(line.split() for line in (queue / "done").read_text().splitlines())


CELERY = [str(BIN / "celery"), "-A", "tasks", "worker", "-c", "2", "-l", "warning", "--max-tasks-per-child", "4"]


def test_celerys_children_lose_nothing_of_their_last_tasks(
    kafka: LocalKafka, topic: str, environ: Environ, queue: Path
) -> None:
    send(queue, 40, environ(topic))
    with served(CELERY, queue, environ(topic)) as worker:
        until(lambda: len(finished(queue)) == 40, "the tasks", 120)
        assert len(set(finished(queue).values())) >= 10

        def all_there() -> bool:
            return len(read_all(kafka.bootstrap_servers, topic)) >= 80

        # the children that ended with their fourth task are gone: what they did not flush never comes
        until(all_there, "what was reported", every=0.5)
        worker.terminate()
        assert worker.wait(60) == 0
    assert statuses_by_job(read_all(kafka.bootstrap_servers, topic)) == {f"job-{number}": BOTH for number in range(40)}


def test_a_celery_that_kills_its_children_as_it_ends_loses_nothing_of_a_durable_producer(
    kafka: LocalKafka, topic: str, environ: Environ, queue: Path
) -> None:
    variables = environ(topic, SPOOL_DIR=queue / "spool", DURABLE=1)
    send(queue, 40, variables)
    with served(CELERY, queue, variables) as worker:
        until(lambda: len(finished(queue)) >= 15, "the first tasks", 120)
        worker.terminate()
        assert worker.wait(60) == 0
    drain = "from jobstatus_producer import JobStatusProducer; JobStatusProducer.from_env().close()"
    subprocess.run([sys.executable, "-c", drain], env={**os.environ, **variables}, check=True, timeout=60)
    found = statuses_by_job(read_all(kafka.bootstrap_servers, topic))
    assert {number for number in finished(queue) if found.get(f"job-{number}") != BOTH} == set()


@pytest.mark.parametrize(
    "arguments",
    [["--preload"], ["--max-requests", "5"], ["--preload", "-k", "gthread", "--threads", "4"]],
    ids=["preload", "workers change", "threads"],
)
def test_gunicorns_workers_lose_nothing_of_their_last_requests(
    kafka: LocalKafka, topic: str, environ: Environ, tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "web.py").write_text(WEB)
    with (
        PortLease() as lease,
        served(
            [str(BIN / "gunicorn"), "-b", f"{LOOPBACK}:{lease.port}", "-w", "2", *arguments, "web:app"],
            tmp_path,
            environ(topic),
        ) as server,
    ):

        def answers(job_id: str) -> bool:
            try:
                with urllib.request.urlopen(f"http://{LOOPBACK}:{lease.port}/{job_id}", timeout=30) as response:
                    return bool(response.status == 204)
            except OSError:
                assert server.poll() is None
                return False

        until(lambda: answers("first"), "the server answers")
        reported = [f"job-{number}" for number in range(30) if answers(f"job-{number}")]
        server.terminate()
        assert server.wait(60) == 0
    assert len(reported) > 10
    found = statuses_by_job(read_all(kafka.bootstrap_servers, topic))
    assert {job_id for job_id in reported if found.get(job_id) != ["processing", "success"]} == set()


ACTORS = """
import dramatiq
from dramatiq.brokers.stub import StubBroker
from jobstatus_producer import update_job_status

dramatiq.set_broker(StubBroker())

@dramatiq.actor
def work(number):
    update_job_status(f"job-{number}", "processing")
    update_job_status(f"job-{number}", "success")
    with open("done", "a") as done:
        done.write(f"{number}\\n")

for number in range(10):
    work.send(number)
"""


def test_dramatiqs_worker_threads_lose_nothing_and_cause_no_warning(
    kafka: LocalKafka, topic: str, environ: Environ, tmp_path: Path
) -> None:
    """The producer is made in a thread, where no signal can be handled; but Dramatiq handles SIGTERM itself."""
    (tmp_path / "actors.py").write_text(ACTORS)
    (tmp_path / "done").touch()
    command = [str(BIN / "dramatiq"), "actors", "--processes", "1", "--threads", "2"]
    with served(command, tmp_path, environ(topic)) as master:
        until(lambda: len((tmp_path / "done").read_text().splitlines()) == 10, "the tasks", 60)
        master.terminate()
        assert master.wait(60) == 0
    log = (tmp_path / "log").read_text()
    assert "jobstatus" not in log
    assert "main thread" not in log
    found = statuses_by_job(read_all(kafka.bootstrap_servers, topic))
    assert found == {f"job-{number}": BOTH for number in range(10)}, log
