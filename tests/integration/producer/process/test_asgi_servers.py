"""Workers behind uvicorn, which ends its process by raising SIGTERM again, when our handler is not there any more."""

from __future__ import annotations

import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from integration.producer import scripts
from integration.producer.conftest import Environ
from integration.producer.process.test_servers import BIN, BOTH, served
from integration.producer.reading import read_all, statuses_by_job
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.ports import LOOPBACK, PortLease
from jobstatus_producer.spool import folder as spool_folder
from support.waiting import until

WEB = """
import asyncio, os
from jobstatus_producer import update_job_status
from jobstatus_producer.functions import default_producer

if "early" in os.environ["MADE"]:
    default_producer()

def report(job_id):
    update_job_status(job_id, "processing")
    update_job_status(job_id, "success")

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    if "thread" in os.environ["MADE"]:
        await asyncio.to_thread(report, scope["path"][1:])
    else:
        report(scope["path"][1:])
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""
UVICORN = [str(BIN / "uvicorn"), "web:app", "--log-level", "warning", "--port"]
GUNICORN = [str(BIN / "gunicorn"), "web:app", "-k", "uvicorn_worker.UvicornWorker", "--log-level", "warning", "-b"]
SERVERS = pytest.mark.parametrize(
    ("command", "made"),
    [
        (UVICORN, "at a call"),
        (UVICORN, "early"),
        (UVICORN, "in a thread"),
        ([*UVICORN[:-1], "--workers", "2", "--port"], "early"),
        ([*UVICORN[:-1], "--reload", "--port"], "in a thread"),
        (GUNICORN, "in a thread"),
        ([*GUNICORN[:-1], "--preload", "-b"], "early, in a thread"),
    ],
    ids=["uvicorn", "early", "thread", "workers", "reload", "gunicorn", "gunicorn preload"],
)


def answered(port: int, job_id: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{job_id}", timeout=30) as answer:
            return bool(answer.status == 204)
    except (urllib.error.URLError, ConnectionError):
        return False


def serve(command: list[str], made: str, folder: Path, environ: dict[str, str]) -> str:
    """Report ten jobs, each with two events, to the server and end it at once by SIGTERM. Returns its log."""
    (folder / "web.py").write_text(WEB)
    with PortLease() as lease:
        place = f"{LOOPBACK}:{lease.port}" if command[-1] == "-b" else str(lease.port)
        with served([*command, place], folder, {**environ, "MADE": made}) as server:
            for number in range(10):
                until(lambda job_id=f"job-{number}": answered(lease.port, job_id), "the answer")  # type: ignore[misc]
            server.send_signal(signal.SIGTERM)
            server.wait(60)
    return (folder / "log").read_text()


@SERVERS
def test_what_a_young_producer_behind_uvicorn_has_accepted_arrives(
    kafka: LocalKafka, topic: str, environ: Environ, tmp_path: Path, command: list[str], made: str
) -> None:
    log = serve(command, made, tmp_path, environ(topic))
    found = statuses_by_job(read_all(kafka.bootstrap_servers, topic))
    assert found == {f"job-{number}": BOTH for number in range(10)}, log
    assert "lost" not in log


@SERVERS
def test_what_is_lost_behind_uvicorn_without_a_broker_is_said_in_one_line(
    tmp_path: Path, command: list[str], made: str
) -> None:
    log = serve(command, made, tmp_path, scripts.NOBODY | {"JOBSTATUS_CLOSE_SECONDS": "0.5"})
    # each worker process has its own share of the jobs, and its own line
    said = [line.partition("is lost with it: ")[2] for line in log.splitlines() if "is lost with it: " in line]
    assert sum(int(line.split()[0]) for line in said) == 20, log
    assert all("events ('job-" in line and "; why: _" in line for line in said), log


def test_what_uvicorn_reports_without_a_broker_is_in_the_spool(tmp_path: Path) -> None:
    more = {"JOBSTATUS_CLOSE_SECONDS": "0.5", "JOBSTATUS_SPOOL_DIR": str(tmp_path / "spool")}
    log = serve([*UVICORN[:-1], "--reload", "--port"], "at a call", tmp_path, scripts.NOBODY | more)
    assert sum(info.events for info in spool_folder.inspect(tmp_path / "spool")) == 20, log
    assert "lost" not in log


@pytest.mark.parametrize("workers", [1, 2])
def test_what_uvicorns_processes_report_before_they_reach_their_limit_arrives(
    kafka: LocalKafka, topic: str, environ: Environ, tmp_path: Path, leased_port: int, workers: int
) -> None:
    (tmp_path / "web.py").write_text(WEB)
    command = [*UVICORN, str(leased_port), "--limit-max-requests", "5", "--workers", str(workers)]
    jobs = [f"job-{number}" for number in range(5 * workers)]
    with served(command, tmp_path, {**environ(topic), "MADE": "at a call"}) as server:
        for job_id in jobs:
            until(lambda job_id=job_id: answered(leased_port, job_id), "the answer")  # type: ignore[misc]

        def are_there() -> bool:
            found = statuses_by_job(read_all(kafka.bootstrap_servers, topic))
            # a request that its process did not answer any more was sent again
            return all(found.get(job_id, [])[-2:] == BOTH for job_id in jobs)

        until(are_there, "what was reported", 60, every=0.5)
        server.terminate()
        server.wait(60)


def test_a_server_whose_application_handles_sigterm_itself_goes_on(topic: str, environ: Environ) -> None:
    """uvicorn puts the application's handler back and calls it: the process need not end, so its producer is open."""
    code, out, err = scripts.run(
        """
        import threading, uvicorn
        signal.signal(signal.SIGTERM, lambda *_: print("mine", flush=True))
        jobs = None

        async def app(scope, receive, send):
            pass

        def stop():
            while not server.started:
                time.sleep(0.01)
            global jobs
            jobs = JobStatusProducer.from_env()
            jobs.update_job_status("job", "processing")
            os.kill(os.getpid(), signal.SIGTERM)

        server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="error"))
        threading.Thread(target=stop).start()
        server.run()
        jobs.update_job_status("job", "success", wait=True)
        jobs.close()
        """,
        environ(topic),
    )
    assert (code, out, err) == (0, "mine\n", "")
