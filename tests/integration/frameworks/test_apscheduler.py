"""APScheduler 3: what its runs report, through both of its shutdowns and a killed process."""

from __future__ import annotations

import signal

import pytest
from integration.frameworks.conftest import MakeFramework
from integration.frameworks.outcomes import all_counted, check, counted

PROGRAM = """
import os, sys, time
from datetime import datetime, timedelta, timezone
from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_SUBMITTED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from jobstatus_producer.integrations.apscheduler import report_jobs

scheduler = BackgroundScheduler(timezone=timezone.utc, executors={"default": ThreadPoolExecutor(1)})
report_jobs(scheduler)
scheduler.add_listener(lambda event: open("skipped", "w").close(), EVENT_JOB_MAX_INSTANCES)
scheduler.add_listener(lambda event: open(f"submitted-{event.job_id}", "w").close(), EVENT_JOB_SUBMITTED)

def good():
    pass

def bad():
    raise ValueError("no such column")

def nap():
    open("runs", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.05)

def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.05)
"""
NORMAL = """
for number in range(8):
    scheduler.add_job(good, id=f"good-{number}", misfire_grace_time=None)
for number in range(4):
    scheduler.add_job(bad, id=f"bad-{number}", misfire_grace_time=None)
scheduler.add_job(good, "date", run_date=datetime.now(timezone.utc) - timedelta(hours=1), id="missed-0",
                  misfire_grace_time=1)
scheduler.start()
wait_for("ended")
scheduler.add_job(nap, "interval", seconds=1, id="again", next_run_time=datetime.now(timezone.utc), max_instances=1)
wait_for("skipped")
scheduler.remove_job("again")
scheduler.add_job(good, id="waits", misfire_grace_time=None)
wait_for("submitted-waits")
open("go", "w").close()
scheduler.shutdown(wait=True)
"""
CUT_OFF = """
scheduler.add_job(nap, id="ran")
scheduler.start()
wait_for("runs")
scheduler.add_job(good, id="waits", misfire_grace_time=None)
wait_for("never")
"""


def test_apscheduler_reports_every_run_and_a_shutdown_that_waits(framework: MakeFramework) -> None:
    runs = framework(PROGRAM + NORMAL)
    jobs = {"good": [f"good-{n}" for n in range(8)], "bad": [f"bad-{n}" for n in range(4)], "missed": ["missed-0"]}
    ends = {"good": "success", "bad": "error", "missed": "revoked"}
    with runs.worker("python", "jobs.py") as process:
        runs.until_last({job: ends[kind] for kind, ids in jobs.items() for job in ids})
        (runs.folder / "ended").touch()
        assert process.wait(60) == 0
    check("apscheduler", "normal", counted(jobs, runs.last([job for ids in jobs.values() for job in ids])))
    check("apscheduler", "reported", all_counted(jobs, runs.all_reported()))
    check("apscheduler", "warm", counted({"ran": ["again"], "waited": ["waits"]}, runs.last(["again", "waits"])))
    assert {job: runs.shown()[job] for job in ("good-0", "bad-0")} == {
        "good-0": ["processing", "success"],
        "bad-0": ["processing", "error"],
    }
    assert runs.errors()["bad-0"] == "ValueError: no such column"
    assert runs.errors()["missed-0"] == "missed"
    assert set(runs.shown()["again"]) == {"processing", "success"}, "a run that is left out hides none that runs"


@pytest.mark.long
@pytest.mark.parametrize(("case", "number"), [("killed", signal.SIGKILL), ("cold", signal.SIGTERM)])
def test_a_process_of_apscheduler_that_is_cut_off_leaves_its_run_as_it_is(
    framework: MakeFramework, case: str, number: signal.Signals
) -> None:
    runs = framework(PROGRAM + CUT_OFF)
    with runs.worker("python", "jobs.py") as process:
        runs.until_last({"ran": "processing", "waits": "processing"})
        process.send_signal(number)
        process.wait(60)
    check("apscheduler", case, counted({"ran": ["ran"], "waited": ["waits"]}, runs.last(["ran", "waits"])))


def test_each_run_may_have_an_id_of_its_own(framework: MakeFramework) -> None:
    each = "job_id=lambda job_id, scheduled: f'{job_id}@{scheduled:%H:%M:%S}'"
    runs = framework((PROGRAM + NORMAL).replace("report_jobs(scheduler)", f"report_jobs(scheduler, {each})", 1))
    with runs.worker("python", "jobs.py") as process:
        (runs.folder / "ended").touch()
        assert process.wait(60) == 0
    again = [statuses[-1] for job, statuses in runs.shown().items() if job.startswith("again@")]
    assert sorted(set(again)) == ["revoked", "success"]
