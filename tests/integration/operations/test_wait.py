"""`jobstatus wait`: what it prints, its exit codes, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from jobstatus_schemas import JobStatusEvent
from support.deployment import Deployment
from support.forked import COMMAND, Command
from support.inside import run_inside
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


LOOKING = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jobstatus-reader' AND datname = current_database()"
)


def event(job_id: str, status: str, number: int) -> JobStatusEvent:
    at = 1_785_000_000_000_000 + number
    return JobStatusEvent(f"00000000-0000-0000-0000-{number:012d}", job_id, status, "disk full", 1, "worker-7", at)


def put(deployed: Deployment, job_id: str, status: str) -> None:
    query = (
        "INSERT INTO jobs (job_id, status) VALUES (%s, %s) ON CONFLICT (job_id) DO UPDATE SET status = excluded.status"
    )
    deployed.query(query, job_id, status)


def waited(deployed: Deployment, *arguments: str, code: int = 0, **environ: str) -> dict[str, Any]:
    done = run_inside(deployed, "wait", *arguments, "--json", code=code, **environ)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_job_that_is_there_is_printed_at_once_and_values_are_shown_on_request(deployed: Deployment) -> None:
    deployed.produce_events([event("job/17", "processing", 0), event("job/17", "error", 1)])
    deployed.drain()
    deployed.without |= {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS"}
    found = waited(deployed, "job/17", "--until", "success,error")
    assert (found["job_id"], found["status"], found["reached"], found["attempt"]) == ("job/17", "error", True, 1)
    assert found["occurred_at"] == "2026-07-25T17:20:00.000001Z"
    assert not {"error_message", "worker_id"} & found.keys()
    assert waited(deployed, "job/17", "--until", "error", "--show-values")["error_message"] == "disk full"
    told = run_inside(deployed, "wait", "job/17", "--until", "success, error").stdout
    assert told == "job/17: error, attempt 1, since 2026-07-25T17:20:00.000Z\n"
    with_values = run_inside(deployed, "wait", "job/17", "--until", "error", "--show-values").stdout
    assert with_values.endswith("  worker_id: worker-7\n  error_message: disk full\n")


def test_a_job_that_does_not_exist_yet_is_waited_for(deployed: Deployment) -> None:
    with ThreadPoolExecutor(1) as pool:
        process = pool.submit(deployed.run, "wait", "new", "--until", "success", "--timeout", "120", "--json")
        until(lambda: deployed.query(LOOKING) == [(1,)], "the command looks")
        put(deployed, "new", "processing")
        put(deployed, "new", "success")
        assert json.loads(process.result(120).stdout)["status"] == "success"


def test_the_time_out_is_said_with_what_the_job_is(deployed: Deployment) -> None:
    found = waited(deployed, "none", "--until", "success", "--timeout", "0", code=1)
    assert found == {"reached": False, "job_id": "none", "status": None}
    put(deployed, "slow\x1b[31m", "processing")
    done = run_inside(deployed, "wait", "slow\x1b[31m", "--until", "success,error", "--timeout", "0.2", code=1)
    assert done.stdout == ""
    assert "was not error or success within 0.2 s: its status is processing." in done.stderr
    assert "jobstatus history JOB lists its events" in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a", "--until", "success,sucess"], "--until: not one of the allowed words (error, success)"),
        (["a", "--until", ","], "--until: wanted 1 to 100 statuses"),
        (["a", "--until", ",".join(map(str, range(10_000)))], "--until: wanted 1 to 100 statuses"),
        (["a", "--until", "success", "--timeout", "nan"], "--timeout: wanted 0 to 86,400 seconds"),
        (["a", "--until", "success", "--timeout", "-1"], "--timeout: wanted 0 to 86,400 seconds"),
        (["a", "--until", "success", "--timeout", "1e9"], "--timeout: wanted 0 to 86,400 seconds"),
        (["a", "--until", "success", "--timeout", "soon"], "'soon' is not a valid float"),
        (["x" * 513, "--until", "success"], "513 bytes of UTF-8; wanted 1 to 512"),
        (["", "--until", "success"], "empty; wanted 1 to 512"),
        (["a"], "Missing option '--until'"),
    ],
)
def test_what_cannot_be_waited_for_is_wrong_usage(arguments: list[str], words: str) -> None:
    nowhere = Deployment("127.0.0.1:1", "postgresql://user:s3cret@127.0.0.1:1/none", "t", "g", Path())
    done = run_inside(nowhere, "wait", *arguments, code=2, JOBSTATUS_STATUSES="success,error")
    assert words in done.stderr


def test_a_database_that_does_not_answer_or_has_no_table_ends_the_wait_at_once(deployed: Deployment) -> None:
    done = run_inside(
        deployed, "wait", "a", "--until", "x", code=1, JOBSTATUS_DATABASE_URL="postgresql://u:s3cret@127.0.0.1:1/none"
    )
    assert "the database does not answer" in done.stderr
    assert "s3cret" not in done.stderr
    done = run_inside(deployed, "wait", "a", "--until", "x", "--table", "no_such", code=1)
    assert 'relation "no_such" does not exist. This role needs SELECT on the table' in done.stderr
    assert "jobstatus check names what is missing. Nothing was waited for\n" in done.stderr
    wrong = {"JOBSTATUS_DATABASE_URL": "postgresql://u:s3@cret@host/none"}
    assert "s3" not in run_inside(deployed, "wait", "a", "--until", "x", code=2, **wrong).stderr


def test_a_signal_ends_the_wait(deployed: Deployment) -> None:
    process = Command[str](
        [COMMAND, "wait", "a", "--until", "success"],
        env={**os.environ, **deployed.environ},
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: deployed.query(LOOKING) == [(1,)], "the command looks")
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert (process.returncode, told.strip()) == (1, "jobstatus: aborted")
