"""Dramatiq with a real Redis: what its messages report."""

from __future__ import annotations

import pytest
from integration.frameworks.conftest import MakeFramework

JOBS = """
import os, time
import dramatiq
from dramatiq.brokers.redis import RedisBroker
from jobstatus_producer.integrations.dramatiq import add_reports

broker = RedisBroker(url=os.environ["REDIS_URL"], namespace=os.environ["QUEUE"])
dramatiq.set_broker(broker)
add_reports(broker)

def actor(function=None, **options):
    options = {"min_backoff": 1, "max_backoff": 1, **options}
    return dramatiq.actor(**options)(function) if function else (lambda function: actor(function, **options))

@actor
def good():
    pass

@actor(max_retries=0)
def bad():
    raise ValueError("no such column")

@actor(max_retries=5)
def third_time():
    path = "tries"
    with open(path, "a") as file:
        file.write("x")
    if os.path.getsize(path) < 3:
        raise OSError("not yet")

@actor(max_retries=1)
def never():
    raise OSError("never")

@actor(time_limit=500, max_retries=0)
def too_long():
    while True:
        time.sleep(0.05)

@actor(max_age=1)
def too_old():
    pass

@actor(notify_shutdown=True, min_backoff=600_000, max_backoff=600_000)
def told():
    nap()

@actor
def not_told():
    nap()

def nap():
    for _ in range(600):
        time.sleep(0.1)
"""
NAMES = ("good", "bad", "third_time", "never", "too_long")
WORKER = ("dramatiq", "jobs", "--processes", "1", "--threads", "4")


def test_dramatiq_reports_every_end_of_a_message(framework: MakeFramework) -> None:
    dramatiq = framework(JOBS)
    send = f"import jobs\nfor name in {NAMES!r}: print(getattr(jobs, name).send().message_id)"
    later = "import jobs\nprint(jobs.good.send_with_options(delay=300).message_id)"
    with dramatiq.worker(*WORKER) as worker:
        ids, (delayed,) = dramatiq.python(send), dramatiq.python(later)
        ends = ("success", "error", "success", "error", "error")
        dramatiq.until_last({**dict(zip(ids, ends, strict=True)), delayed: "success"})
        worker.terminate()
        assert worker.wait(60) == 0
    good, bad, third_time, never, too_long = ids
    errors = dramatiq.errors()
    assert errors[bad] == "ValueError: no such column"
    assert "TimeLimitExceeded" in str(errors[too_long])
    once = {"pending": 1, "processing": 1}
    assert dramatiq.reported(good) == dramatiq.reported(delayed) == {**once, "success": 1}
    assert dramatiq.reported(bad) == {**once, "error": 1}
    assert dramatiq.reported(third_time) == {"pending": 1, "processing": 3, "retrying": 2, "success": 1}
    assert dramatiq.reported(never) == {"pending": 1, "processing": 2, "retrying": 1, "error": 1}


def test_dramatiq_reports_a_message_that_is_too_old(framework: MakeFramework) -> None:
    dramatiq = framework(JOBS)
    (old,) = dramatiq.python("import jobs\nprint(jobs.too_old.send().message_id)")
    dramatiq.until_last({old: "pending"})
    with dramatiq.worker(*WORKER):
        dramatiq.until_last({old: "revoked"})


@pytest.mark.parametrize(
    ("actor", "patience", "end"), [("told", "60000", "retrying"), ("not_told", "300", "processing")]
)
def test_a_shutdown_of_dramatiq_leaves_a_message_as_it_is(
    framework: MakeFramework, actor: str, patience: str, end: str
) -> None:
    """Dramatiq cuts off a message whose actor has `notify_shutdown`; any other is left to another worker."""
    dramatiq = framework(JOBS)
    with dramatiq.worker(*WORKER, "--worker-shutdown-timeout", patience) as worker:
        (running,) = dramatiq.python(f"import jobs\nprint(jobs.{actor}.send().message_id)")
        dramatiq.until_last({running: "processing"})
        worker.terminate()
        assert worker.wait(60) == 0
    dramatiq.until_last({running: end}, 30)
