"""`jobstatus stuck` and the metric of overdue jobs: what they name, and that nothing is ever written."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from typing import Any

import pytest
from jobstatus_schemas import JobStatusEvent
from support.deployment import Deployment
from support.inside import run_inside
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

MINUTE = 60_000_000
DEADLINES = "processing=15m,pending=2h"


def made(job_id: str, status: str, minutes: int, message: str | None = None) -> JobStatusEvent:
    """An event of so many minutes ago."""
    at = int(time.time() * 1e6) - minutes * MINUTE
    return JobStatusEvent(f"00000000-0000-0000-0000-{minutes:012d}", job_id, status, message, 1, "worker-7", at)


@pytest.fixture
def written(deployed: Deployment) -> Deployment:
    deployed.produce_events(
        [
            made("12", "processing", 60, "waiting for\nthe disk " * 9),
            made("slow", "processing", 16),
            made("quick", "processing", 5),
            made("queued", "pending", 90),
            made("forgotten", "pending", 3000),
            made("done", "success", 9000),
        ]
    )
    run_inside(deployed, "consume", "--until-caught-up")
    return deployed


def stuck(deployed: Deployment, *arguments: str, code: int, **environ: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_inside(deployed, "stuck", *arguments, "--json", code=code, **environ).stdout)
    return found


def test_the_jobs_that_are_silent_for_too_long_are_named_the_oldest_first(written: Deployment) -> None:
    before = written.query("SELECT * FROM jobs ORDER BY 1")
    found = stuck(written, "--status", "processing", "--older-than", "15m", code=1)
    assert [job["job_id"] for job in found["jobs"]] == ["12", "slow"]
    first = found["jobs"][0]
    assert (first["status"], first["worker_id"], first["attempt"]) == ("processing", "worker-7", 1)
    assert 3600 <= first["age_seconds"] < 3600 + 600
    assert first["error_message"].startswith("waiting for\nthe disk")
    assert found["by_status"] == {"processing": 2}
    both = stuck(written, code=1, JOBSTATUS_DEADLINES=DEADLINES)
    assert [job["job_id"] for job in both["jobs"]] == ["forgotten", "12", "slow"]
    assert (both["stuck"], both["by_status"]) == (3, {"pending": 1, "processing": 2})
    one = stuck(written, "--limit", "1", code=1, JOBSTATUS_DEADLINES=DEADLINES)
    assert (len(one["jobs"]), one["stuck"]) == (1, 3)
    assert stuck(written, "--status", "processing", "--older-than", "2h", code=0)["jobs"] == []
    assert written.query("SELECT * FROM jobs ORDER BY 1") == before


def test_a_person_reads_a_table_of_eighty_columns(written: Deployment) -> None:
    told = run_inside(written, "stuck", code=1, JOBSTATUS_DEADLINES=DEADLINES, COLUMNS="80").stdout
    assert max(map(len, told.splitlines())) <= 80
    assert re.search(r"12 +processing +worker-7 +waiting for the disk waiting.* 1h", told)
    assert "3 jobs of jobs stuck: 2 processing for over 15m, 1 pending for over 2h" in " ".join(told.split())
    none = run_inside(written, "stuck", "--status", "gone", "--older-than", "1s").stdout
    assert none == "0 jobs of jobs stuck: 0 gone for over 1s\n"


@pytest.mark.parametrize(
    ("arguments", "deadlines", "words"),
    [
        ([], "", "there is no deadline"),
        (["--older-than", "15m"], "", "--older-than needs --status"),
        (["--status", "processing"], "pending=1h", "give --older-than"),
        (["--status", "processing", "--older-than", "15 min"], "", "1s to 3650d"),
        ([], "processing", "status=length"),
        ([], "processing=0s", "1s to 3650d"),
        ([], ",", "names no status"),
    ],
)
def test_a_question_without_a_deadline_is_refused(
    deployed: Deployment, arguments: list[str], deadlines: str, words: str
) -> None:
    assert words in run_inside(deployed, "stuck", *arguments, code=2, JOBSTATUS_DEADLINES=deadlines).stderr


def test_a_deadline_of_a_status_that_no_job_can_have_is_refused(deployed: Deployment) -> None:
    refused = run_inside(deployed, "stuck", code=2, JOBSTATUS_DEADLINES="proces=1h", JOBSTATUS_STATUSES="processing")
    assert "'proces' is not one of JOBSTATUS_STATUSES" in refused.stderr


def test_one_member_shows_the_number_of_overdue_jobs(written: Deployment) -> None:
    consumer = written.consumer(JOBSTATUS_HTTP_ADDRESS="127.0.0.1:0", JOBSTATUS_DEADLINES=DEADLINES)
    url = until(lambda: re.findall(r"on (http://\S+) \(/metrics", consumer.text()), "the address")[0]

    def overdue() -> dict[str, float]:
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return {word: float(n) for word, n in re.findall(r'jobstatus_overdue_jobs\{.*status="(\w+)".*\} (\S+)', text)}

    until(lambda: overdue() == {"pending": 1, "processing": 2}, "the metric", every=0.2)
    assert consumer.stop() == 0
