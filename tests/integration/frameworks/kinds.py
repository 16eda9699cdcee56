"""Job frameworks that are driven alike: the same jobs, sent and run by each framework's own means."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

BODIES: Final = """
import os, signal, time

def good(key):
    pass

def bad(key):
    raise ValueError("no such column")

def third_time(key):
    with open(f"tries-{key}", "a") as file:
        file.write("x")
    if os.path.getsize(f"tries-{key}") < 3:
        raise OSError("not yet")

def never(key):
    raise OSError("never")

def crash(key):
    os.kill(os.getpid(), signal.SIGKILL)

def nap(key):
    while not os.path.exists("go"):
        time.sleep(0.05)
    # a worker that has its signal takes no other job by now
    time.sleep(0.5)
"""
"""Each job has a key of its own. `third_time` ends well at its third try, and `never` is tried twice."""


@dataclass(frozen=True)
class End:
    """How a worker is ended: the signal, whether its children get it too, and what its environment has for it.

    `left` is the status of a job that ran, and `then` the one it has when another worker has finished the rest.
    """

    number: signal.Signals
    left: str = "processing"
    then: str = "processing"
    children_too: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)


KILLED: Final = End(signal.SIGKILL, children_too=True)
TAKEN_UP: Final = replace(KILLED, then="success")


@dataclass(frozen=True)
class Kind:
    """A framework: its module of jobs, the program that sends jobs, its worker, and how that is ended.

    `send` prints the ids of jobs whose names are in `NAMES`. `warm` lets the job end that runs, and `noticed` is what
    the log says then.
    """

    module: str
    send: str
    worker: tuple[str, ...]
    warm: End
    noticed: str
    ends: Mapping[str, End]
    jobs: tuple[str, ...] = ("good", "bad", "third_time", "never")
    set_up: str = ""


PROCRASTINATE: Final = Kind(
    module="""
import asyncio, bodies, os, procrastinate
from jobstatus_producer.integrations.procrastinate import report_jobs

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ["DATABASE"]),
    worker_defaults={"fetch_job_polling_interval": 0.2,
                     "shutdown_graceful_timeout": float(os.environ.get("WAIT", "60"))},
)
report_jobs(app)
good, bad = app.task(name="good")(bodies.good), app.task(name="bad")(bodies.bad)
third_time = app.task(name="third_time", retry=5)(bodies.third_time)
never = app.task(name="never", retry=1)(bodies.never)

@app.task(name="nap")
async def nap(key):
    while not os.path.exists("go"):
        await asyncio.sleep(0.05)
""",
    send="""
import jobs
with jobs.app.open():
    for number, name in enumerate(NAMES):
        print(getattr(jobs, name).defer(key=f"{KEY}{number}"))
""",
    set_up="import jobs\nwith jobs.app.open(): jobs.app.schema_manager.apply_schema()",
    worker=("procrastinate", "--app", "jobs.app", "worker", "--concurrency", "1"),
    warm=End(signal.SIGTERM, "success", "success"),
    noticed="Stop requested",
    ends={"cold": End(signal.SIGTERM, "revoked", "revoked", environ={"WAIT": "0.3"}), "killed": KILLED},
)
ARQ: Final = Kind(
    module="""
import asyncio, bodies, os
from arq import Retry, func
from arq.connections import RedisSettings
from jobstatus_producer.integrations.arq import report_jobs

def tried_again(body):
    async def job(ctx, key):
        try:
            body(key)
        except OSError as error:
            raise Retry from error
    return job

async def good(ctx, key):
    pass

async def bad(ctx, key):
    bodies.bad(key)

async def nap(ctx, key):
    while not os.path.exists("go"):
        await asyncio.sleep(0.05)

@report_jobs()
class WorkerSettings:
    functions = [good, bad, nap, func(tried_again(bodies.third_time), name="third_time"),
                 func(tried_again(bodies.never), name="never", max_tries=2)]
    redis_settings = RedisSettings.from_dsn(os.environ["REDIS_URL"])
    queue_name = os.environ["QUEUE"]
    max_jobs = 1
    poll_delay = 0.1
    job_timeout = int(os.environ.get("LIMIT", "300"))
    job_completion_wait = int(os.environ.get("WAIT", "60"))
""",
    send="""
import asyncio, jobs, os
from arq import create_pool
from jobstatus_producer.integrations.arq import enqueue_job

async def main():
    pool = await create_pool(jobs.WorkerSettings.redis_settings, default_queue_name=os.environ["QUEUE"])
    for number, name in enumerate(NAMES):
        print((await enqueue_job(pool, name, f"{KEY}{number}")).job_id)
    await pool.aclose()

asyncio.run(main())
""",
    worker=("arq", "jobs.WorkerSettings"),
    warm=End(signal.SIGTERM, "success", "success"),
    noticed="shutdown on SIGTERM",
    ends={
        "cold": End(signal.SIGTERM, "retrying", "success", environ={"WAIT": "0"}),
        # another worker takes a job up ten seconds after its limit
        "killed": replace(TAKEN_UP, environ={"LIMIT": "10"}),
    },
)
HUEY: Final = Kind(
    module="""
import bodies, os
from huey import RedisHuey
from jobstatus_producer.integrations.huey import report_tasks

huey = RedisHuey(os.environ["QUEUE"], url=os.environ["REDIS_URL"])
report_tasks(huey)
good, bad, nap = huey.task()(bodies.good), huey.task()(bodies.bad), huey.task()(bodies.nap)
third_time = huey.task(retries=5)(bodies.third_time)
never = huey.task(retries=1)(bodies.never)
""",
    send="""
import jobs
for number, name in enumerate(NAMES):
    print(getattr(jobs, name)(f"{KEY}{number}").id)
""",
    worker=("huey_consumer", "jobs.huey", "--workers", "1", "--delay", "0.05", "--max-delay", "0.1"),
    warm=End(signal.SIGINT, "success", "success"),
    noticed="Shutting down gracefully",
    ends={"cold": End(signal.SIGTERM, "error", "error"), "killed": KILLED},
)
CELERY: Final = Kind(
    module="""
import bodies, os
from celery import Celery
from jobstatus_producer.integrations.celery import report_tasks

app = Celery("jobs", broker=os.environ["REDIS_URL"])
app.conf.update(task_default_queue=os.environ["QUEUE"], worker_prefetch_multiplier=1,
                broker_connection_retry_on_startup=True,
                broker_transport_options={"visibility_timeout": int(os.environ.get("VISIBILITY", "3600"))})
report_tasks(flush_seconds=5)
good, bad, nap, crash = (app.task(name=body.__name__)(body) for body in (
    bodies.good, bodies.bad, bodies.nap, bodies.crash))
again = {"autoretry_for": (OSError,), "default_retry_delay": 0}
third_time = app.task(name="third_time", max_retries=5, **again)(bodies.third_time)
never = app.task(name="never", max_retries=1, **again)(bodies.never)
""",
    send="""
import jobs
for number, name in enumerate(NAMES):
    print(getattr(jobs, name).delay(f"{KEY}{number}").id)
""",
    worker=(
        *("celery", "-A", "jobs", "worker", "-l", "warning", "--without-gossip", "--without-mingle"),
        *("-c", "1", "--max-tasks-per-child", "5"),
    ),
    warm=End(signal.SIGTERM, "success", "success"),
    noticed="Warm shutdown",
    ends={"cold": End(signal.SIGQUIT, "retrying", "retrying"), "killed": replace(KILLED, environ={"VISIBILITY": "5"})},
    jobs=("good", "bad", "third_time", "never", "crash"),
)
RQ: Final = Kind(
    module="from bodies import *",
    send="""
import os, redis, bodies
from rq import Retry
from jobstatus_producer.integrations.rq import JobStatusQueue

queue = JobStatusQueue(os.environ["QUEUE"], connection=redis.Redis.from_url(os.environ["REDIS_URL"]))
tries = {"third_time": Retry(max=5), "never": Retry(max=1)}
for number, name in enumerate(NAMES):
    print(queue.enqueue(getattr(bodies, name), f"{KEY}{number}", retry=tries.get(name)).id)
""",
    worker=("rq", "worker", "-w", "jobstatus_producer.integrations.rq.JobStatusWorker"),
    warm=End(signal.SIGTERM, "success", "success"),
    noticed="warm shut down requested",
    ends={"killed": KILLED},
    jobs=("good", "bad", "third_time", "never", "crash"),
)
DRAMATIQ: Final = Kind(
    module="""
import bodies, dramatiq, os
from dramatiq.brokers.redis import RedisBroker
from jobstatus_producer.integrations.dramatiq import add_reports

broker = RedisBroker(url=os.environ["REDIS_URL"], namespace=os.environ["QUEUE"], heartbeat_timeout=3_000,
                     maintenance_chance=1_000_000)
dramatiq.set_broker(broker)
add_reports(broker)

def actor(body, tries):
    return dramatiq.actor(body, max_retries=tries, min_backoff=1, max_backoff=1)

good, bad, nap = actor(bodies.good, 0), actor(bodies.bad, 0), actor(bodies.nap, 0)
third_time, never = actor(bodies.third_time, 5), actor(bodies.never, 1)
""",
    send="""
import jobs
for number, name in enumerate(NAMES):
    print(getattr(jobs, name).send(f"{KEY}{number}").message_id)
""",
    worker=("dramatiq", "jobs", "--processes", "1", "--threads", "1"),
    warm=End(signal.SIGTERM, "success", "success"),
    noticed="Stopping worker process",
    ends={"killed": TAKEN_UP},
)
KINDS: Final[Mapping[str, Kind]] = {
    "celery": CELERY,
    "rq": RQ,
    "dramatiq": DRAMATIQ,
    "procrastinate": PROCRASTINATE,
    "arq": ARQ,
    "huey": HUEY,
}
