"""What check, status, verify and history say about a target."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jobstatus_schemas import JobStatusEvent
from support.deployment import Deployment
from support.inside import run_inside
from support.own_table import JOBS, TARGET

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

Run = Callable[..., Any]


def event(job_id: int, status: str, number: int, message: str | None = None) -> JobStatusEvent:
    event_id = f"{job_id:08d}-0000-4000-8000-{number:012d}"
    return JobStatusEvent(event_id, str(job_id), status, message, None, "worker-7", 1_700_000_000_000_000 + number)


@pytest.fixture
def run(deployed: Deployment, tmp_path: Path) -> Run:
    """Run a command with the target; `--json` gives the parsed document, anything else what is printed."""
    deployed.query(JOBS)
    deployed.query("INSERT INTO jobs (id) VALUES (1), (2), (3)")
    file = tmp_path / "jobs.toml"
    file.write_text(TARGET)

    def command(*arguments: str, code: int = 0, **more: str) -> Any:
        done = run_inside(deployed, *arguments, code=code, **{"JOBSTATUS_TARGET": str(file), **more})
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    command("migrate")
    return command


@pytest.fixture
def deployed(deployed: Deployment) -> Deployment:
    """A deployment whose own table has a name of its own."""
    deployed.query("DROP TABLE jobs, jobs_progress, jobs_purged")
    deployed.table = "jobs_status"
    return deployed


def test_status_verify_and_history_show_what_the_target_shows(run: Run, deployed: Deployment) -> None:
    deployed.produce_events([event(1, "success", 1), event(2, "error", 2, "no disk"), event(4, "success", 3)])
    run("consume", "--until-caught-up")

    status = run("status", "--json")["target"]
    assert (status["waiting"], [item["reason"] for item in status["reasons"]]) == (1, ["no row"])
    assert status["oldest_seconds"] == status["reasons"][0]["oldest_seconds"] > 0
    assert "1 job waits for its row in the target" in run("status")
    printed = run("verify")
    assert "the table says what the log says\njobs: no row differs from its state\n" in printed
    assert "these are no differences: 1 waiting\n" in printed

    deployed.query("UPDATE jobs SET status = 'new', error_message = 'secret' WHERE id = 2")

    found = run("verify", "--json")["target"]
    assert (found["different"], found["findings"][0]["columns"]) == (1, ["status", "error_message"])
    assert "jobs: 1 row differs from the state: 1 different\n  2: differs in status, error_message\n" in run("verify")
    run("verify", "--strict", code=1)
    assert run("verify", "--strict", "--json", "--job-id", "1")["target"]["states"] == 1

    history = run("history", "2", "--json")["target"]
    columns = {item.pop("name"): item for item in history["columns"]}
    assert columns["status"] == {"differs": True, "is_compared": True, "row": "new", "state": "failed"}
    assert columns["error_message"] == {"differs": True, "is_compared": True}
    assert not columns["updated_at"]["is_compared"]
    printed = run("history", "2")
    assert "jobs: the row differs in status, error_message\n" in printed
    assert "secret" not in printed
    assert "secret" in run("history", "2", "--show-values")
    waits = run("history", "4", "--json")["target"]
    assert (waits["has_row"], waits["waiting"]["reason"]) == (False, "no row")
    assert "jobs: there is no row\nthe job has waited for " in run("history", "4")
    deployed.query("UPDATE jobs SET status = 'cancelled' WHERE id = 2")
    assert "jobs: where keeps the row as it is; it differs in status, error_message" in run("history", "2")

    without = run("verify", "--json", JOBSTATUS_TARGET="")
    assert "target" not in without


def test_check_tries_the_words_and_names_what_the_table_refuses(run: Run, deployed: Deployment) -> None:
    assert "all is ready" in run("check", JOBSTATUS_STATUSES="processing,success,error")
    assert "no status was tried on jobs, because JOBSTATUS_STATUSES is not set" in run("check")
    (found,) = run("check", "--json", code=1, JOBSTATUS_STATUSES="processing,archived")["problems"]
    assert "set.status: the status archived makes a value that the column (job_status) does not take" in found["what"]
    # a consumer starts all the same, and the word becomes a dead letter
    deployed.produce_events([event(1, "archived", 1), event(2, "processing", 2)])
    run("consume", "--until-caught-up", JOBSTATUS_STATUSES="processing,archived")
    assert dict(deployed.query("SELECT id, status::text FROM jobs")) == {1: "new", 2: "running", 3: "new"}
    deployed.query("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$")
    deployed.query("CREATE TRIGGER keep BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION keep()")
    assert "the trigger keep runs before each row of public.jobs" in run("check")


def test_a_target_that_cannot_be_compared_fails_verify_and_leaves_history_whole(
    run: Run, deployed: Deployment, tmp_path: Path
) -> None:
    deployed.produce_events([event(1, "success", 1)])
    run("consume", "--until-caught-up")
    deployed.query("ALTER TABLE jobs DROP COLUMN finished_at")
    done = run_inside(deployed, "verify", code=1, JOBSTATUS_TARGET=str(tmp_path / "jobs.toml"))
    assert "the table says what the log says" in done.stdout
    assert "the target was not compared: the target file" in done.stderr
    done = run_inside(deployed, "history", "1", JOBSTATUS_TARGET=str(tmp_path / "jobs.toml"))
    assert "the row shows this one" in done.stdout
    assert "the target is not shown: " in done.stderr
