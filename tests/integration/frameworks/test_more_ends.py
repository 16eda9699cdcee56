"""What procrastinate, arq and Huey do with a job besides running it: limits, revoked jobs, delayed and regular ones."""

from __future__ import annotations

import signal
from pathlib import Path

from integration.frameworks.conftest import MakeFramework
from support.waiting import until

PROCRASTINATE = """
import asyncio, os, procrastinate
from jobstatus_producer.integrations.procrastinate import report_jobs

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["DATABASE"]),
                        worker_defaults={"abort_job_polling_interval": 0.2})
report_jobs(app)
report_jobs(app, job_id=lambda job: job.task_kwargs["order"], words={"revoked": "cancelled"})

@app.task(name="nap")
async def nap(order):
    await asyncio.sleep(0 if order == "short" else 600)

@app.task(name="bad")
def bad(order):
    raise ValueError("no such column")
"""
ARQ = """
import asyncio, os
from arq import cron, func
from arq.connections import RedisSettings
from jobstatus_producer.integrations.arq import enqueue_job, report_jobs

async def nap(ctx):
    await asyncio.sleep(600)

async def regular(ctx):
    ctx["redis"]

async def started(ctx):
    open("started", "w").close()

@report_jobs()
class WorkerSettings:
    functions = [nap, func(nap, name="limited", timeout=1)]
    cron_jobs = [cron(regular, name="regular", run_at_startup=True, month=1, day=1)]
    on_job_start = started
    allow_abort_jobs = True
    redis_settings = RedisSettings.from_dsn(os.environ["REDIS_URL"])
    queue_name = os.environ["QUEUE"]
    poll_delay = 0.1
"""
OWN_BYTES = """
import asyncio, os, pickle
from arq.connections import RedisSettings
from jobstatus_producer.integrations.arq import enqueue_job, report_jobs

class NoText:
    def __repr__(self):
        raise ValueError("no text")

def dumps(value):
    return b"own:" + pickle.dumps(value)

def loads(data):
    return pickle.loads(data.removeprefix(b"own:"))

async def nap(ctx):
    await asyncio.sleep(600)

async def good(ctx, *args):
    pass

@report_jobs()
class WorkerSettings:
    functions = [nap, good]
    job_timeout = 1
    job_serializer = dumps
    job_deserializer = loads
    redis_settings = RedisSettings.from_dsn(os.environ["REDIS_URL"])
    queue_name = os.environ["QUEUE"]
    poll_delay = 0.1
"""
OWN_BYTES_SEND = """
import asyncio, jobs, os
from arq import create_pool

async def main():
    pool = await create_pool(jobs.WorkerSettings.redis_settings, default_queue_name=os.environ["QUEUE"],
                             job_serializer=jobs.dumps, job_deserializer=jobs.loads)
    for name, args in SENT:
        print((await jobs.enqueue_job(pool, name, *args)).job_id)
    await pool.aclose()

asyncio.run(main())
"""
ARQ_SEND = """
import asyncio, jobs, os
from arq import create_pool
from arq.jobs import Job

async def main():
    pool = await create_pool(jobs.WorkerSettings.redis_settings, default_queue_name=os.environ["QUEUE"])
    await run(pool)
    await pool.aclose()

asyncio.run(main())
"""
HUEY = """
import os, time
from huey import RedisHuey
from jobstatus_producer.integrations.huey import report_tasks

huey = RedisHuey(os.environ["QUEUE"], url=os.environ["REDIS_URL"])
report_tasks(huey)

@huey.task()
def good():
    pass

@huey.task()
def locked():
    with huey.lock_task("taken"):
        pass
"""
HUEY_SEND = """
import jobs
jobs.huey.lock_task("taken").acquire()
revoked = jobs.good()
revoked.revoke()
print(revoked.id, jobs.good.schedule(delay=1).id, jobs.good(expires=-1).id, jobs.locked().id)
"""


def test_procrastinate_reports_what_is_cancelled_and_aborted(
    framework: MakeFramework, database_url: str, tmp_path: Path
) -> None:
    jobs = framework(PROCRASTINATE)
    jobs.environ.update(DATABASE=database_url, PYTHONPATH=str(tmp_path))
    code = """
import jobs
with jobs.app.open():
    jobs.app.schema_manager.apply_schema()
    ids = {order: jobs.nap.defer(order=order) for order in ("cancelled", "long", "short")}
    jobs.bad.defer(order="bad")
    jobs.app.job_manager.cancel_job_by_id(ids["cancelled"])
    print(ids["long"])
"""
    (long,) = jobs.python(code)
    with jobs.worker("procrastinate", "--app", "jobs.app", "worker", "--concurrency", "2"):
        jobs.until_last({"long": "processing", "short": "success", "bad": "error", "cancelled": "cancelled"})
        abort = f"import jobs\nwith jobs.app.open(): jobs.app.job_manager.cancel_job_by_id({long}, abort=True)"
        jobs.python(abort)
        jobs.until_last({"long": "cancelled"})
    assert jobs.errors()["bad"] == "ValueError: no such column"
    assert jobs.reported("cancelled") == {"pending": 1, "cancelled": 1}, "a second call replaces the first"


def test_arq_reports_a_time_limit_an_aborted_job_and_a_regular_one(framework: MakeFramework) -> None:
    jobs = framework(ARQ)
    send = "async def run(pool):\n for name in ('limited', 'nap'): print((await jobs.enqueue_job(pool, name)).job_id)\n"
    with jobs.worker("arq", "jobs.WorkerSettings"):
        limited, nap = jobs.python(send + ARQ_SEND)
        jobs.until_last({limited: "error", nap: "processing"})
        jobs.python(
            f"async def run(pool): await Job({nap!r}, pool, os.environ['QUEUE']).abort(timeout=60)\n" + ARQ_SEND
        )
        jobs.until_last({nap: "revoked"})
    assert "TimeoutError" in str(jobs.errors()[limited])
    (regular,) = [job for job in jobs.shown() if job.startswith("regular")]
    assert jobs.shown()[regular] == ["processing", "success"]
    assert (jobs.folder / "started").exists()


def test_arq_runs_on_after_a_time_limit_with_a_serializer_and_after_a_job_that_did_not_begin(
    framework: MakeFramework,
) -> None:
    jobs = framework(OWN_BYTES)
    with jobs.worker("arq", "jobs.WorkerSettings"):
        limited, not_begun = jobs.python(
            "import jobs\nSENT = [('nap', ()), ('good', (jobs.NoText(),))]\n" + OWN_BYTES_SEND
        )
        jobs.until_last({limited: "error", not_begun: "error"}, timeout=30)
        (good,) = jobs.python("SENT = [('good', ())]\n" + OWN_BYTES_SEND)
        jobs.until_last({good: "success"}, timeout=30)
    errors = jobs.errors()
    assert "TimeoutError" in str(errors[limited])
    assert errors[not_begun] == "ValueError: no text"


def test_huey_reports_what_is_revoked_expired_locked_and_delayed(framework: MakeFramework) -> None:
    jobs = framework(HUEY)
    revoked, delayed, expired, locked = jobs.python(HUEY_SEND)
    with jobs.worker("huey_consumer", "jobs.huey", "--workers", "1", "--delay", "0.05", "--no-periodic"):
        jobs.until_last({revoked: "revoked", delayed: "success", expired: "revoked", locked: "error"})
    errors = jobs.errors()
    assert [errors[job] for job in (revoked, expired, locked)] == ["revoked", "expired", "locked"]
    assert jobs.reported(delayed) == {"pending": 1, "processing": 1, "success": 1}


def test_a_restart_of_hueys_consumer_loses_no_report(framework: MakeFramework) -> None:
    jobs = framework(HUEY)
    # a report leaves the worker long after its restart, unless the restart waits for it
    jobs.environ["JOBSTATUS_KAFKA_LINGER_MS"] = "3000"
    with jobs.worker("huey_consumer", "jobs.huey", "--workers", "1", "--delay", "0.05", "--no-periodic") as process:
        del jobs.environ["JOBSTATUS_KAFKA_LINGER_MS"]
        (job,) = jobs.python("import jobs\nprint(jobs.good().id)")
        until(lambda: "executed in" in (jobs.folder / "log").read_text(), "the task has run")
        process.send_signal(signal.SIGHUP)
        until(lambda: "Consumer will restart" in (jobs.folder / "log").read_text(), "Huey restarts")
        jobs.until_last({job: "success"}, timeout=30)
