"""FastAPI and Starlette in real servers: what requests report arrives, however the server is ended."""

from __future__ import annotations

import signal

import pytest
from integration.frameworks.conftest import MakeFramework
from starlette.requests import HTTPConnection
from support.web_load import load, post

FASTAPI = """
import asyncio
from typing import Annotated
from fastapi import BackgroundTasks, Depends, FastAPI
from jobstatus_producer import JobStatusProducer
from jobstatus_producer.integrations.starlette import jobs, reports

app = FastAPI(lifespan=reports())

@app.post("/{job_id}", status_code=202)
async def start(job_id: str, jobs: Annotated[JobStatusProducer, Depends(jobs)], later: BackgroundTasks) -> None:
    await jobs.aupdate_job_status(job_id, "pending", attempt=0)
    later.add_task(work, jobs, job_id)

async def work(jobs: JobStatusProducer, job_id: str) -> None:
    async with jobs.track(job_id, attempt=1):
        await asyncio.sleep(600 if job_id == "long" else 0.05)
        if job_id == "bad":
            raise ValueError("no such order")
"""
STARLETTE = """
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from jobstatus_producer.integrations.starlette import jobs, reports

@asynccontextmanager
async def mine(app):
    yield {"word": "done"}
    with open("ended", "w") as file:
        file.write("mine")

def start(request):
    jobs(request).update_job_status(request.path_params["job_id"], request.state.word)
    return Response(status_code=202)

app = Starlette(lifespan=reports(mine), routes=[Route("/{job_id}", start, methods=["POST"])])
"""
UVICORN = ("uvicorn", "jobs:app", "--log-level", "warning", "--port")
SERVERS = {
    "uvicorn": UVICORN,
    "workers": ("uvicorn", "jobs:app", "--log-level", "warning", "--workers", "2", "--port"),
    "gunicorn": ("gunicorn", "jobs:app", "-k", "uvicorn_worker.UvicornWorker", "--log-level", "warning", "-b"),
}
WHOLE = ["pending", "processing", "success"]


def command(server: str, port: int) -> tuple[str, ...]:
    words = SERVERS[server]
    return (*words, f"127.0.0.1:{port}" if words[-1] == "-b" else str(port))


@pytest.mark.parametrize(
    ("server", "number"),
    [
        ("uvicorn", signal.SIGTERM),
        pytest.param("uvicorn", signal.SIGINT, marks=pytest.mark.long),
        pytest.param("workers", signal.SIGTERM, marks=pytest.mark.long),
        pytest.param("gunicorn", signal.SIGTERM, marks=pytest.mark.long),
    ],
    ids=["uvicorn", "interrupted", "workers", "gunicorn"],
)
def test_what_a_server_has_answered_under_load_is_reported_whole(
    framework: MakeFramework, leased_port: int, server: str, number: signal.Signals
) -> None:
    """No request is answered whose job is not reported to its end, and nothing of any other request is half there."""
    web, port = framework(FASTAPI), leased_port
    with web.worker(*command(server, port)) as process, load(port) as sent:
        sent.until_answered(100)
        process.send_signal(number)
        process.wait(60)
    found = {job: [*statuses] for job, statuses in web.shown().items()}
    assert sent.answered - found.keys() == set()
    assert [job for job, statuses in found.items() if statuses != WHOLE] == []


def test_a_request_that_fails_or_is_cut_off_at_the_end_is_reported_as_an_error(
    framework: MakeFramework, leased_port: int
) -> None:
    web, port = framework(FASTAPI), leased_port
    limit = ("--timeout-graceful-shutdown", "1")
    with web.worker(*command("uvicorn", port), *limit) as process:
        with load(port):
            assert (post(port, "bad"), post(port, "long")) == (202, 202)
        web.until_last({"bad": "error", "long": "processing"})
        process.terminate()
        process.wait(60)
    assert web.last(["bad", "long"]) == {"bad": "error", "long": "error"}
    errors = web.errors()
    assert errors["bad"] == "ValueError: no such order"
    assert "CancelledError" in str(errors["long"])


def test_starlette_alone_has_the_producer_beside_a_lifespan_of_its_own(
    framework: MakeFramework, leased_port: int
) -> None:
    web, port = framework(STARLETTE), leased_port
    with web.worker(*command("uvicorn", port)) as process, load(port) as sent:
        sent.until_answered(20)
        process.terminate()
        process.wait(60)
    assert sent.answered - web.shown().keys() == set()
    assert set().union(*web.shown().values()) == {"done"}
    assert (web.folder / "ended").read_text() == "mine"


def test_a_server_does_not_start_with_a_wrong_setting(framework: MakeFramework, leased_port: int) -> None:
    web, port = framework(FASTAPI), leased_port
    web.environ["JOBSTATUS_CLOSE_SECONDS"] = "soon"
    with web.worker(*command("uvicorn", port)) as process:
        assert process.wait(60) != 0
    assert "JOBSTATUS_CLOSE_SECONDS" in (web.folder / "log").read_text()


def test_without_the_lifespan_the_dependency_says_what_to_write() -> None:
    from jobstatus_producer.integrations.starlette import jobs

    with pytest.raises(RuntimeError, match=r"lifespan=jobstatus_producer\.integrations\.starlette\.reports\(\)"):
        jobs(HTTPConnection({"type": "http"}))
