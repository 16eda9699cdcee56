"""Celery with a real Redis: what its tasks report, through every end of a task and of a worker."""

from __future__ import annotations

import signal

import psutil
import pytest
from integration.frameworks.conftest import MakeFramework
from support.framework import Framework
from support.waiting import until

JOBS = """
import os, signal, time
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from jobstatus_producer.integrations.celery import report_tasks

app = Celery("jobs", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(task_default_queue=os.environ["QUEUE"], worker_prefetch_multiplier=1, task_track_started=True,
                broker_connection_retry_on_startup=True, worker_send_task_events=False)
report_tasks(flush_seconds=5)

@app.task
def good():
    return 1

@app.task
def bad():
    raise ValueError("no such column")

@app.task(bind=True, max_retries=2, default_retry_delay=0)
def third_time(self):
    if self.request.retries < 2:
        raise self.retry(exc=OSError("not yet"))

@app.task(bind=True, max_retries=1, default_retry_delay=0)
def never(self):
    raise self.retry(exc=OSError("never"))

@app.task(time_limit=1)
def too_long():
    time.sleep(60)

@app.task(soft_time_limit=1)
def too_long_softly():
    time.sleep(60)

@app.task
def crash():
    os.kill(os.getpid(), signal.SIGKILL)

@app.task
def nap(seconds):
    time.sleep(seconds)

@app.task
def gated():
    while not os.path.exists("go"):
        time.sleep(0.05)
"""
WORKER = ("celery", "-A", "jobs", "worker", "-l", "warning", "--without-gossip", "--without-mingle")
ALL = ("good", "bad", "third_time", "never", "too_long", "too_long_softly", "crash")
STATES = """
import sys, jobs
from celery.result import AsyncResult
print(*[AsyncResult(task, app=jobs.app).state for task in sys.argv[1:]])
"""
AGREE = {"SUCCESS": "success", "FAILURE": "error", "REVOKED": "revoked", "RETRY": "retrying", "STARTED": "processing"}


def sent(framework: Framework, *names: str) -> list[str]:
    """The ids of tasks that were sent."""
    return framework.python(f"import jobs\nfor name in {names!r}: print(getattr(jobs, name).delay().id)")


def states(framework: Framework, ids: list[str]) -> list[str]:
    """What Celery's own result backend says, in our words."""
    code = STATES.replace("sys.argv[1:]", repr(ids))
    return [AGREE.get(state, state) for state in framework.python(code)]


@pytest.mark.parametrize("pool", ["prefork", "threads", pytest.param("gevent", marks=pytest.mark.long)])
def test_celery_reports_every_end_of_a_task_as_its_own_results_say(framework: MakeFramework, pool: str) -> None:
    celery = framework(JOBS)
    # a pool of threads or greenlets can end no task
    names = ALL if pool == "prefork" else ALL[:4]
    with celery.worker(*WORKER, "-c", "2", "--pool", pool) as worker:
        ids = sent(celery, *names)
        good, bad, third_time, never, *ended = ids
        wanted = {good: "success", bad: "error", third_time: "success", never: "error"}
        celery.until_last(wanted | dict.fromkeys(ended, "error"))
        worker.terminate()
        assert worker.wait(60) == 0
    errors = celery.errors()
    # the program that sends a task may deliver its report after the worker: attempt 0 then changes nothing
    assert celery.shown()[good][-2:] == ["processing", "success"]
    assert celery.reported(third_time) == {"pending": 1, "processing": 3, "retrying": 2, "success": 1}
    assert celery.reported(never) == {"pending": 1, "processing": 2, "retrying": 1, "error": 1}
    assert errors[bad] == "ValueError: no such column"
    assert states(celery, ids) == [celery.last(ids)[task] for task in ids]
    if pool == "prefork":
        kinds = [str(errors[task]).partition(":")[0] for task in ended]
        assert kinds == ["TimeLimitExceeded", "SoftTimeLimitExceeded", "WorkerLostError"]


def test_celery_reports_a_revoked_task_and_one_that_waits(framework: MakeFramework) -> None:
    celery = framework(JOBS)
    waiting, expired = celery.python(
        "import jobs\nprint(jobs.good.delay().id)\nprint(jobs.good.apply_async(expires=0.1).id)"
    )
    celery.until_last({waiting: "pending", expired: "pending"})
    running, revoked = celery.python(
        "import jobs\nprint(jobs.nap.delay(60).id)\nprint(jobs.good.apply_async(countdown=600).id)"
    )
    with celery.worker(*WORKER, "-c", "2") as worker:
        celery.until_last({waiting: "success", expired: "revoked", running: "processing"})
        celery.python(f"import jobs\njobs.app.control.revoke({revoked!r})")
        celery.python(f"import jobs\njobs.app.control.revoke({running!r}, terminate=True)")
        celery.until_last({running: "revoked"})
        assert celery.last([revoked]) == {revoked: "pending"}, "it is revoked when a worker takes it"
        worker.terminate()
        assert worker.wait(60) == 0
    assert celery.errors()[expired] == "expired"


@pytest.mark.parametrize("how", ["warm", "cold", "hard"])
def test_celerys_shutdowns_leave_each_task_as_it_is(framework: MakeFramework, how: str) -> None:
    """Warm: tasks end first. Cold and hard: a task is cut off, and its row says what Celery's own result says."""
    celery = framework(JOBS)
    with celery.worker(*WORKER, "-c", "1", "--max-tasks-per-child", "2") as worker:
        done = sent(celery, *["good"] * 5)
        celery.until_last(dict.fromkeys(done, "success"))
        (running,) = sent(celery, "gated")
        celery.until_last({running: "processing"})
        children = psutil.Process(worker.pid).children(recursive=True)
        if how == "hard":
            for process in (psutil.Process(worker.pid), *children):
                process.kill()
        else:
            worker.send_signal(signal.SIGTERM if how == "warm" else signal.SIGQUIT)
        if how == "warm":
            (celery.folder / "go").touch()
        worker.wait(60)
        until(lambda: not any(child.is_running() and child.status() != "zombie" for child in children), "all ended")
    expected = {"warm": "success", "cold": "retrying", "hard": "processing"}[how]
    celery.until_last({running: expected} | dict.fromkeys(done, "success"), 30)
    assert states(celery, [running]) == [expected]


def test_another_id_and_other_words_may_be_reported(framework: MakeFramework) -> None:
    celery = framework(
        JOBS.replace(
            "report_tasks(flush_seconds=5)",
            "report_tasks(job_id=lambda task_id, args, kwargs: f'nap-{args[0]}' if args else None,\n"
            "             words={'pending': None, 'success': 'done'})",
        )
    )
    with celery.worker(*WORKER, "-c", "1", "--pool", "solo") as worker:
        celery.python("import jobs\njobs.nap.delay(0)\njobs.good.delay()")
        celery.until_last({"nap-0": "done"})
        worker.terminate()
        worker.wait(60)
    assert celery.shown() == {"nap-0": ["processing", "done"]}
