"""RQ with a real Redis: what its jobs report, from a worker whose processes end by `os._exit` or are killed."""

from __future__ import annotations

from integration.frameworks.conftest import MakeFramework
from support.framework import Framework

JOBS = """
import os, signal, time

def good():
    return 1

def bad():
    raise ValueError("no such column")

def third_time(path="tries"):
    with open(path, "a") as file:
        file.write("x")
    if os.path.getsize(path) < 3:
        raise OSError("not yet")

def never():
    raise OSError("never")

def too_long():
    time.sleep(60)

def crash():
    os.kill(os.getpid(), signal.SIGKILL)

def nap(seconds):
    time.sleep(seconds)

def gated():
    while not os.path.exists("go"):
        time.sleep(0.05)
"""
SEND = """
import os, redis, jobs
from rq import Retry
from jobstatus_producer.integrations.rq import JobStatusQueue
queue = JobStatusQueue(os.environ["QUEUE"], connection=redis.Redis.from_url(os.environ["REDIS_URL"]))
"""
ENDS = """
print(queue.enqueue(jobs.good).id)
print(queue.enqueue(jobs.good, result_ttl=0).id)
print(queue.enqueue(jobs.bad).id)
print(queue.enqueue(jobs.third_time, retry=Retry(max=5)).id)
print(queue.enqueue(jobs.never, retry=Retry(max=1)).id)
print(queue.enqueue(jobs.too_long, job_timeout=1).id)
print(queue.enqueue(jobs.crash).id)
"""
THREADS = """
def threads():
    import threading
    return str([thread.name for thread in threading.enumerate()])
"""
WORKER = "jobstatus_producer.integrations.rq.JobStatusWorker"


def worker(framework: Framework, kind: str = WORKER) -> tuple[str, ...]:
    return ("rq", "worker", "-w", kind, "--url", framework.environ["REDIS_URL"], framework.topic)


def test_rq_reports_every_end_of_a_job(framework: MakeFramework) -> None:
    rq = framework(JOBS)
    with rq.worker(*worker(rq)) as process:
        ids = rq.python(SEND + ENDS)
        good, forgotten, bad, third_time, never, too_long, crash = ids
        wanted = dict.fromkeys((good, forgotten, third_time), "success")
        rq.until_last(wanted | dict.fromkeys((bad, never, too_long, crash), "error"))
        process.terminate()
        assert process.wait(60) == 0
    errors = rq.errors()
    assert errors[bad] == "ValueError: no such column"
    assert "JobTimeoutException" in str(errors[too_long])
    assert "terminated unexpectedly" in str(errors[crash])
    assert rq.reported(third_time) == {"pending": 1, "processing": 3, "retrying": 2, "success": 1}
    assert rq.reported(never) == {"pending": 1, "processing": 2, "retrying": 1, "error": 1}
    assert rq.reported(good) == {"pending": 1, "processing": 1, "success": 1}


def test_a_job_that_is_stopped_is_revoked_and_one_that_runs_at_a_warm_shutdown_ends(framework: MakeFramework) -> None:
    rq = framework(JOBS)
    with rq.worker(*worker(rq)) as process:
        (stopped,) = rq.python(f"{SEND}\nprint(queue.enqueue(jobs.nap, 60).id)")
        rq.until_last({stopped: "processing"})
        rq.python(f"{SEND}\nfrom rq.command import send_stop_job_command as stop\nstop(queue.connection, {stopped!r})")
        rq.until_last({stopped: "revoked"})
        (running,) = rq.python(f"{SEND}\nprint(queue.enqueue(jobs.gated).id)")
        rq.until_last({running: "processing"})
        process.terminate()
        (rq.folder / "go").touch()
        assert process.wait(60) == 0
    rq.until_last({running: "success"}, 30)


def test_a_job_costs_no_kafka_client_of_its_own(framework: MakeFramework) -> None:
    """Each job runs in a process of its own, which has no thread of a producer."""
    rq = framework(
        JOBS + "\ndef threads():\n    import threading\n    return str([t.name for t in threading.enumerate()])"
    )
    ids = rq.python(SEND + "for _ in range(5): print(queue.enqueue(jobs.threads).id)")
    with rq.worker(*worker(rq)) as process:
        rq.until_last(dict.fromkeys(ids, "success"))
        process.terminate()
        assert process.wait(60) == 0
    results = rq.python(SEND + f"for id in {ids!r}: print(queue.fetch_job(id).return_value().replace(' ', ''))")
    assert set(results) == {"['MainThread']"}


def test_rqs_worker_that_forks_nothing_reports_too(framework: MakeFramework) -> None:
    rq = framework(JOBS)
    ids = rq.python(SEND + "print(queue.enqueue(jobs.good).id)\nprint(queue.enqueue(jobs.bad).id)")
    simple = WORKER.replace("JobStatusWorker", "JobStatusSimpleWorker")
    with rq.worker(*worker(rq, simple), "--burst") as process:
        assert process.wait(60) == 0
    assert rq.last(ids) == dict(zip(ids, ("success", "error"), strict=True))
