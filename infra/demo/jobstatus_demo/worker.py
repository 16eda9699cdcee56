"""One of the demo's workers, a process of its own.

    python -m jobstatus_demo.worker PARENT ASSIGNMENT.json

It prints `ready`, waits for a line, reports its jobs, and writes what each call cost to the assignment's file
`result`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from jobstatus_demo.plan import Job
from jobstatus_demo.tether import die_with

Report = Callable[[str, str, str | None], None]


@dataclass(frozen=True)
class Assignment:
    """What one worker has to do. Times are in seconds."""

    name: str
    way: str
    """`connections`: a connection for every update; `jobstatus`: a JobStatusProducer"""
    table: str
    jobs: list[Job]
    interval: float
    stop_after: float
    result: str

    def save(self, path: Path) -> None:
        """Write it to a file for the worker process."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Assignment:
        """What `save` wrote."""
        given = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**given, "jobs": [Job(*job) for job in given["jobs"]]})


@dataclass(frozen=True)
class Work:
    """What a worker did: nanoseconds of each call that returned, how many calls raised, and seconds in all."""

    nanos: list[int]
    failed: int
    last_error: str
    seconds: float


def work(assignment: Assignment, report: Report) -> Work:
    """Report every update at its time, or at once if it is late, until all are reported or the time is up."""
    nanos: list[int] = []
    failed, last_error = 0, ""
    started = time.monotonic()
    due = started
    for update in (update for job in assignment.jobs for update in job.updates()):
        due += assignment.interval
        if time.monotonic() - started >= assignment.stop_after:
            break
        before = time.perf_counter_ns()
        try:
            report(*update)
        except Exception as error:  # noqa: BLE001 - the crisis consisted of such errors, so they are counted
            failed, last_error = failed + 1, f"{type(error).__name__}: {error}"
        else:
            nanos.append(time.perf_counter_ns() - before)
        time.sleep(max(0.0, due - time.monotonic()))  # the worker's own work
    return Work(nanos, failed, last_error, time.monotonic() - started)


@contextmanager
def a_connection_each(assignment: Assignment) -> Iterator[Report]:
    """The old way: every update opens a connection, writes one row, and closes the connection."""
    import psycopg
    from psycopg import sql

    url = os.environ["JOBSTATUS_DATABASE_URL"]
    query = sql.SQL(
        "UPDATE {} SET status = %s, error_message = %s, worker_id = %s, updated_at = now() WHERE job_id = %s"
    ).format(sql.Identifier(assignment.table))

    def update_job_status(job_id: str, status: str, error_message: str | None) -> None:
        with psycopg.connect(url) as connection:
            connection.execute(query, (status, error_message, assignment.name, job_id))

    yield update_job_status


@contextmanager
def through_jobstatus(assignment: Assignment) -> Iterator[Report]:
    """The same call on a producer. Leaving the `with` blocks until the broker has every event."""
    from jobstatus_producer import JobStatusProducer

    with JobStatusProducer.from_env({**os.environ, "JOBSTATUS_WORKER_ID": assignment.name}) as jobs:
        yield jobs.update_job_status


def main(parent: str, path: str) -> None:
    """Do the assignment in the file at `path`."""
    die_with(int(parent))
    assignment = Assignment.load(Path(path))
    way = a_connection_each if assignment.way == "connections" else through_jobstatus
    with way(assignment) as report:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        done = work(assignment, report)
    Path(assignment.result).write_text(json.dumps(asdict(done)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
