"""What the console's tests and pictures show: jobs as an application has them, with faults of every kind."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator
from typing import Final

from jobstatus_schemas import JobStatusEvent
from support.deployment import Deployment

STORY: Final = "invoice-2026-11-4711"
"""A job that failed, was tried again, and succeeded; an event of its first attempt came too late."""
DEADLINES: Final = {"processing": 900, "pending": 7200}
MINUTE: Final = 60_000_000
IDS: Final = ("a/b/../c", "100% sure?", "..", ".", "a#b&c=d", "<b>'\"</b>", "ü/\u202egnp.exe", "/" * 512)
"""Ids that break a path, a query or a page which does not encode them."""
NASTY: Final = "<img src=x onerror=alert(1)>'\"&\x1b[31m\u202egnp.exe\u202c\u200f"
"""HTML, quotes, a control character and marks that turn the direction of writing."""
WIDE: Final = "w" * 400
KINDS: Final = ("invoice", "thumbnail", "report", "webhook", "import")
ERRORS: Final = (
    "TimeoutError: no answer of https://payments.internal/charge within 30 s",
    "ValueError: amount: wanted a number, got 'n/a'",
    'ConnectionResetError: [Errno 104] Connection reset by peer\n  File "worker/tasks.py", line 88, in render',
)


def event(
    job_id: str,
    status: str,
    minutes_ago: float,
    *,
    attempt: int | None = 1,
    worker: str | None = "worker-07",
    error: str | None = None,
) -> JobStatusEvent:
    """An event that happened so long ago."""
    at = int(time.time() * 1e6 - minutes_ago * MINUTE)
    return JobStatusEvent(str(uuid.uuid4()), job_id, status, error, attempt, worker, at)


def story() -> Iterator[JobStatusEvent]:
    """The events of `STORY`."""
    yield event(STORY, "pending", 42, worker="scheduler-1")
    yield event(STORY, "processing", 41.5, worker="worker-03")
    yield event(STORY, "error", 35, worker="worker-03", error=ERRORS[0])
    yield event(STORY, "pending", 34.9, attempt=2, worker="scheduler-1")
    yield event(STORY, "processing", 30, attempt=2, worker="worker-11")
    yield event(STORY, "processing", 29, attempt=1, worker="worker-03")
    yield event(STORY, "success", 22, attempt=2, worker="worker-11")


def crowd(count: int, seed: int = 7) -> Iterator[JobStatusEvent]:
    """The events of `count` jobs of the last hour: most have succeeded, some failed, some are under way."""
    rng = random.Random(seed)
    for number in range(count):
        job_id = f"{rng.choice(KINDS)}-2026-11-{number:04d}"
        worker = f"worker-{rng.randrange(1, 13):02d}"
        begun = rng.uniform(2, 58)
        yield event(job_id, "pending", begun, worker="scheduler-1")
        fate = rng.random()
        if fate < 0.08:
            continue
        under_way = fate < 0.2
        yield event(job_id, "processing", begun * (0.2 if under_way else 0.8), worker=worker)
        if not under_way:
            failed = rng.random() < 0.09
            error = rng.choice(ERRORS) if failed else None
            yield event(job_id, "error" if failed else "success", begun * 0.5, worker=worker, error=error)


def stuck() -> Iterator[JobStatusEvent]:
    """Jobs that have been silent for too long."""
    for number, minutes in enumerate((31, 47, 122, 260)):
        yield event(f"import-2026-10-{number:04d}", "processing", minutes, worker=f"worker-{number + 2:02d}")


def odd() -> Iterator[JobStatusEvent]:
    """Jobs whose ids are `IDS`, and one that is as nasty as it may be in every field."""
    for job_id in IDS:
        yield event(job_id, "success", 1, worker="odd ids")
    yield event(f"nasty/{NASTY}", f"st {NASTY}"[:60], 1, worker=f"w {NASTY}", error=f"{NASTY} {WIDE}")
    yield event(f"/{WIDE}/", "success", 2)


def set_scene(deployed: Deployment, jobs: int = 300) -> None:
    """Produce and write all of it, with dead letters of two causes."""
    deployed.produce_events([*story(), *crowd(jobs), *stuck()])
    deployed.produce([(f"webhook-{number}", b"not avro", ()) for number in range(3)])
    deployed.produce([("report-bad", b"\xc3\x01" + bytes(8) + b"unknown", ())])
    deployed.drain()
