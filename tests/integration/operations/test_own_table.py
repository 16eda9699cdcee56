"""Operators and a table of the application's own: dead letters, budgets, restores, and consumers that are killed."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from jobstatus_schemas import JobStatusEvent
from support.deployment import ConsumerProcess, Deployment
from support.inside import run_inside
from support.own_table import JOBS, TARGET
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

TABLE = "jobs_status"
WRONG = (
    (("event.error_message", "event.no_such_field"), "error_message"),
    (("error_message =", "no_such_column ="), "no_such_column"),
    (('finished_at = "CASE', 'finished_at = "1 + CASE'), "finished_at"),
    (('table = "jobs"', 'table = "jobs_status"'), "jobs_status"),
    (("job.status <>", "job.no_such <>"), "where"),
)
"""What is replaced in the target file, and what the error names."""
OUR_TABLES = "jobs_status, jobs_status_progress, jobs_status_waiting"


class Own:
    """A deployment with the application's table `jobs`, our tables beside it, and the commands' environment."""

    def __init__(self, deployed: Deployment, folder: Path, target: str = TARGET) -> None:
        self.deployed = deployed
        self.file = folder / "jobs.toml"
        self.file.write_text(target, "utf-8")
        self.environ: dict[str, Any] = {"JOBSTATUS_TABLE": TABLE, "JOBSTATUS_TARGET": str(self.file)}
        self.query("DROP TABLE jobs, jobs_progress")
        self.query(JOBS)
        self.run("migrate")
        self._sent = 0

    def query(self, text: str) -> list[tuple[object, ...]]:
        return self.deployed.query(text)

    def run(self, *arguments: str, code: int | None = 0, **environ: str) -> subprocess.CompletedProcess[str]:
        wanted: dict[str, Any] = {**self.environ, **environ}
        return run_inside(self.deployed, *arguments, code=code, **wanted)

    def drain(self, **environ: Any) -> None:
        self.run("consume", "--until-caught-up", **environ)

    def consumer(self) -> ConsumerProcess:
        return self.deployed.consumer(**self.environ)

    def report(self, *updates: tuple[object, str]) -> None:
        """Events of these jobs, each with its status, a microsecond apart."""
        now = int(time.time() * 1e6) + self._sent
        self._sent += len(updates)
        self.deployed.produce_events(
            JobStatusEvent(str(uuid.uuid4()), str(job), status, None, None, "w", now + number)
            for number, (job, status) in enumerate(updates)
        )

    def insert(self, first: int, last: int) -> None:
        self.query(f"INSERT INTO jobs (id) SELECT generate_series({first}, {last})")

    def statuses(self) -> dict[str, int]:
        found = self.query("SELECT status::text, count(*) FROM jobs GROUP BY 1")
        return {str(status): int(str(count)) for status, count in found}

    def status(self, job: int) -> object:
        ((found,),) = self.query(f"SELECT status::text FROM jobs WHERE id = {job}")
        return found

    def waiting(self) -> int:
        ((count,),) = self.query("SELECT count(*) FROM jobs_status_waiting")
        return int(str(count))


@pytest.fixture
def own(deployed: Deployment, tmp_path: Path) -> Own:
    return Own(deployed, tmp_path)


def test_a_missing_word_is_a_dead_letter_and_a_redrive_writes_it_once_the_enum_has_it(own: Own) -> None:
    own.insert(1, 3)
    own.report((1, "processing"), (2, "paused"), (3, "processing"))
    own.drain()
    assert own.statuses() == {"running": 2, "new": 1}
    listed = json.loads(own.run("dlq", "list", "--json").stdout)
    assert [(group["stage"], group["open"]) for group in listed["groups"]] == [("write", 1)]
    own.run("dlq", "redrive", "--stage", "write", "--yes", code=1)
    own.query("ALTER TYPE job_status ADD VALUE 'paused'")
    own.run("dlq", "redrive", "--stage", "write", "--yes")
    assert own.status(2) == "paused"


def test_too_many_jobs_without_a_row_stop_the_consumer_before_it_commits_more(own: Own) -> None:
    own.report(*((job, "processing") for job in range(120)))
    stopped = own.run("consume", "--until-caught-up", code=1, JOBSTATUS_WAITING_BUDGET="50")
    assert "wait" in stopped.stderr
    assert "JOBSTATUS_WAITING_BUDGET" in stopped.stderr
    waiting = own.waiting()
    assert 50 <= waiting < 120
    assert sum(own.deployed.committed().values()) == waiting
    own.insert(0, 119)
    own.drain(JOBSTATUS_WAITING_BUDGET="50")
    assert (own.statuses(), own.waiting()) == ({"running": 120}, 0)


def test_a_wrong_target_file_stops_before_anything_is_written(own: Own) -> None:
    own.insert(1, 1)
    own.report((1, "processing"))
    for change, named in WRONG:
        own.file.write_text(TARGET.replace(*change), "utf-8")
        stopped = own.run("consume", "--until-caught-up", code=None)
        assert stopped.returncode in (1, 2)
        assert named in stopped.stderr
        checked = own.run("check", code=None)
        assert checked.returncode in (1, 2)
        assert named in checked.stdout + checked.stderr
    assert own.deployed.committed() == {}
    assert own.query(f"SELECT count(*) FROM {TABLE}") == [(0,)]
    assert own.status(1) == "new"


def test_a_whole_database_that_was_restored_is_brought_up_to_date(own: Own) -> None:
    own.insert(1, 20)
    own.report(*((job, "processing") for job in range(1, 21)))
    own.drain()
    copies = ("jobs", *OUR_TABLES.split(", "))
    for table in copies:
        own.query(f"CREATE TABLE backup_of_{table} AS TABLE {table}")
    own.report(*((job, "success") for job in range(1, 25)))
    own.drain()
    assert (own.statuses(), own.waiting()) == ({"done": 20}, 4)
    for table in copies:
        own.query(f"BEGIN; DELETE FROM {table}; INSERT INTO {table} TABLE backup_of_{table}; COMMIT")
    own.insert(21, 24)
    own.drain()
    assert (own.statuses(), own.waiting()) == ({"done": 24}, 0)


def test_a_target_that_was_restored_alone_is_mended_by_a_sync(own: Own) -> None:
    own.insert(1, 20)
    own.report(*((job, "processing") for job in range(1, 21)))
    own.drain()
    own.query("CREATE TABLE backup AS TABLE jobs")
    own.report(*((job, "success") for job in range(1, 21)))
    own.drain()
    own.query("BEGIN; DELETE FROM jobs; INSERT INTO jobs SELECT * FROM backup WHERE id <> 20; COMMIT")
    own.query("UPDATE jobs SET status = 'cancelled' WHERE id = 19")
    own.run("target", "sync", "--dry-run")
    assert own.statuses() == {"running": 18, "cancelled": 1}
    own.run("target", "sync")
    own.drain()
    assert own.statuses() == {"done": 18, "cancelled": 1}
    own.insert(20, 20)
    own.run("target", "sync")
    own.drain()
    assert (own.status(20), own.waiting()) == ("done", 0)


def test_a_consumer_that_is_killed_between_a_batch_and_its_settling_loses_no_row(own: Own) -> None:
    consumer = own.consumer()
    own.report(*((job, "processing") for job in range(1, 101)))
    until(lambda: own.waiting() == 100, "all jobs wait")
    consumer.kill()
    own.insert(1, 100)
    own.report((50, "success"))
    own.consumer()
    until(lambda: own.statuses() == {"running": 99, "done": 1}, "all rows are written", 90)
    until(lambda: own.waiting() == 0, "nothing waits")


def test_a_replay_to_a_new_table_leaves_the_target_alone(own: Own) -> None:
    own.insert(1, 2)
    own.report((1, "processing"), (2, "success"))
    own.drain()
    own.query("UPDATE jobs SET status = 'new'")
    own.run("replay", "--into", "fresh", "--yes")
    assert own.query("SELECT status FROM fresh ORDER BY job_id") == [("processing",), ("success",)]
    assert own.statuses() == {"new": 2}
