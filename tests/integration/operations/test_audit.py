"""The audit log: who changed something, what was planned, and what came of it."""

from __future__ import annotations

from typing import Any

import pytest
from jobstatus_consumer.store import AuditEntry, AuditTable, check, migrate, remarks
from jobstatus_schemas import JobStatusEvent
from support.deployment import Deployment
from support.inside import run_inside

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def event(job_id: str, status: str, number: int) -> JobStatusEvent:
    at = 1_700_000_000_000_000 + number
    return JobStatusEvent(f"00000000-0000-0000-0000-{number:012d}", job_id, status, "s3cret", 1, "worker-7", at)


@pytest.fixture
def written(deployed: Deployment) -> Deployment:
    deployed.produce_events([event("a", "processing", 0), event("a", "success", 1), event("b", "success", 2)])
    deployed.produce([("bad", b"no event", ())])
    deployed.drain()
    return deployed


def entries(deployed: Deployment) -> list[AuditEntry]:
    with AuditTable(deployed.database_url, deployed.table) as audit:
        return audit.latest(100)


def newest(deployed: Deployment) -> AuditEntry:
    found = entries(deployed)[0]
    assert "@" in found.actor
    assert found.finished_at is not None
    assert found.at <= found.finished_at
    assert "s3cret" not in str(found)
    return found


def both(found: AuditEntry) -> tuple[dict[str, Any], dict[str, Any]]:
    return dict(found.plan), dict(found.result or {})


def test_each_command_that_changes_something_is_noted_with_plan_and_result(written: Deployment) -> None:
    run_inside(written, "dlq", "redrive", "--yes", code=1)
    found = newest(written)
    plan, result = both(found)
    assert (found.action, found.outcome, plan["topic"]) == ("redrive", "done", written.topic)
    assert (result["selected"], result["applied"], sum(result["failed_again"].values())) == (1, 0, 1)

    written.query("UPDATE jobs SET status = 'wrong' WHERE job_id = 'a'")
    run_inside(written, "verify", "--repair")
    found = newest(written)
    plan, result = both(found)
    assert (found.action, found.outcome) == ("repair", "done")
    assert (plan["findings"]["different"], result["set_rows"]) == (1, 1)

    offsets = ",".join(f"{number}:0" for number in range(written.partitions))
    run_inside(written, "replay", "--undo", "--from", offsets, "--job-id", "a", "--status", "success", "--yes")
    found = newest(written)
    plan, result = both(found)
    assert (found.action, plan["jobs"], plan["statuses"]) == ("undo", ["a"], ["success"])
    assert result["set_rows"] == 1

    run_inside(written, "purge", "--status", "success", "--older-than", "1s", "--yes")
    found = newest(written)
    plan, result = both(found)
    assert (found.action, plan["rows"], result["purged"]) == ("purge", {"success": 1}, 1)

    run_inside(written, "offsets", "reset", "--to", "beginning", "--yes")
    found = newest(written)
    assert (found.action, found.outcome, len(found.plan["moves"])) == ("offsets reset", "done", written.partitions)
    run_inside(written, "replay", "--job-id", "b", "--yes")
    found = newest(written)
    plan, result = both(found)
    assert (found.action, plan["jobs"], result["complete"]) == ("replay", ["b"], True)

    run_inside(written, "dlq", "purge", "--before", "now", "--even-open", "--yes")
    found = newest(written)
    assert (found.action, found.outcome, found.plan["open"]) == ("dlq purge", "done", 1)
    actions = ["dlq purge", "replay", "offsets reset", "purge", "undo", "repair", "redrive"]
    assert [item.action for item in entries(written)] == actions


def test_what_changes_nothing_is_not_noted(written: Deployment) -> None:
    run_inside(written, "dlq", "redrive", "--dry-run")
    run_inside(written, "verify", code=None)
    run_inside(written, "verify", "--repair")
    run_inside(written, "purge", "--status", "success", "--older-than", "1s", "--dry-run")
    run_inside(written, "offsets", "reset", "--to", "beginning", "--dry-run")
    run_inside(written, "offsets", "reset", "--to", "beginning", code=2)
    assert entries(written) == []


def test_an_action_that_fails_is_noted_as_failed_with_what_it_did(written: Deployment) -> None:
    written.query("CREATE TABLE theirs (job text REFERENCES jobs (job_id))")
    written.query("INSERT INTO theirs VALUES ('b')")
    run_inside(written, "purge", "--status", "success", "--older-than", "1s", "--yes", code=1)
    found = newest(written)
    assert (found.action, found.outcome) == ("purge", "failed")
    assert "the database refused to remove a row" in (found.result or {})["error"]
    assert (found.result or {})["complete"] is True or (found.result or {})["purged"] == 0


def test_an_existing_database_gets_the_audit_log_and_works_without_it(written: Deployment) -> None:
    written.query("DROP TABLE jobs_audit")
    url = written.database_url
    assert check(url, "jobs") == []
    (remark,) = remarks(url, "jobs")
    assert remark.what == "what operators change is not noted: there is no table jobs_audit"
    done = run_inside(written, "purge", "--status", "success", "--older-than", "1s", "--yes")
    assert "this is not noted in the audit log: there is no table jobs_audit (jobstatus migrate)" in done.stderr
    assert "2 rows of jobs purged" in done.stdout
    (statement,) = migrate(url, "jobs")
    assert statement.startswith('CREATE TABLE "jobs_audit"')
    assert (migrate(url, "jobs"), remarks(url, "jobs")) == ([], [])


def test_a_table_of_the_users_own_with_that_name_is_left_alone(written: Deployment) -> None:
    written.query("DROP TABLE jobs_audit")
    written.query("CREATE TABLE jobs_audit (id integer PRIMARY KEY, action text)")
    assert migrate(written.database_url, "jobs") == []
    assert check(written.database_url, "jobs") == []
    (remark,) = remarks(written.database_url, "jobs")
    assert remark.what == "what operators change is not noted: the table jobs_audit is not ours"
    done = run_inside(written, "purge", "--status", "success", "--older-than", "1s", "--yes")
    assert "the table jobs_audit is not ours" in done.stderr
    assert written.query("SELECT * FROM jobs_audit") == []


def test_a_role_without_the_right_is_told_so(written: Deployment) -> None:
    role = f"operator_{written.group.replace('-', '_')}"
    written.query(f"CREATE ROLE {role} LOGIN PASSWORD 'swordfish-7'")
    try:
        written.query(f"GRANT SELECT, INSERT, UPDATE, DELETE ON jobs, jobs_progress, jobs_purged TO {role}")
        url = f"{written.database_url}?user={role}&password=swordfish-7"
        done = run_inside(
            written, "purge", "--status", "success", "--older-than", "1s", "--yes", JOBSTATUS_DATABASE_URL=url
        )
        assert "this role has no SELECT, INSERT, UPDATE on jobs_audit" in done.stderr
        assert "2 rows of jobs purged" in done.stdout
    finally:
        written.query(f"DROP OWNED BY {role}")
        written.query(f"DROP ROLE {role}")


def test_pages_of_the_audit_log_go_back_in_time(written: Deployment) -> None:
    with AuditTable(written.database_url, "jobs") as audit:
        numbers = [audit.begin("ann", "purge", {"n": n}) for n in range(5)]
        audit.finish(numbers[0], "done", {"purged": 1})
        first = audit.latest(2)
        second = audit.latest(10, before=first[-1].id)
    assert [item.id for item in first + second] == numbers[::-1]
    assert [item.outcome for item in first + second] == [None, None, None, None, "done"]
