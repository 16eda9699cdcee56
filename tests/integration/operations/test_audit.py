"""The audit log: who changed something, what was planned, and what came of it."""

from __future__ import annotations

from typing import Any

import pytest
from jobstatus_consumer.store import AuditEntry, AuditTable, check, migrate, remarks
from jobstatus_schemas import JobStatusEvent
from support.deployment import Deployment, locked
from support.forked import COMMAND, Command
from support.inside import run_inside
from support.waiting import until

NO_DATABASE = "postgresql://somebody@127.0.0.1:1/database"

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

    run_inside(written, "dlq", "budget", "clear")
    found = newest(written)
    plan, result = both(found)
    assert (found.action, found.outcome, plan["group"]) == ("dlq budget clear", "done", written.group)
    assert result["partitions"], "that of the bad event"

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

    run_inside(written, "replay", "--into", "jobs_new", "--yes")
    found = newest(written)
    plan, result = both(found)
    assert (found.action, plan["into"], result["complete"]) == ("rebuild", "jobs_new", True)

    more = written.partitions + 1
    run_inside(written, "topics", "alter", "--partitions", str(more), "--yes")
    found = newest(written)
    plan, _ = both(found)
    assert (found.action, found.outcome) == ("topics alter", "done")
    assert (plan["topic"], plan["from"], plan["to"]) == (written.topic, written.partitions, more)

    actions = ["replay", "offsets reset", "purge", "undo", "repair", "dlq budget clear", "redrive"]
    later = ["topics alter", "rebuild", "dlq purge"]
    assert [item.action for item in entries(written)] == later + actions


def test_a_sync_of_the_users_table_is_noted(written: Deployment) -> None:
    written.query("CREATE TABLE theirs (job text PRIMARY KEY, state text)")
    written.query("INSERT INTO theirs VALUES ('a', 'wrong')")
    file = written.folder / "target.toml"
    file.write_text('table = "theirs"\n[key]\njob = "event.job_id"\n[set]\nstate = "event.status"\n')
    run_inside(written, "migrate", JOBSTATUS_TARGET=str(file))
    run_inside(written, "target", "sync", "--dry-run", JOBSTATUS_TARGET=str(file))
    assert entries(written) == []
    run_inside(written, "target", "sync", JOBSTATUS_TARGET=str(file))
    found = newest(written)
    plan, result = both(found)
    assert (found.action, found.outcome, plan["target"]) == ("target sync", "done", "theirs")
    assert (result["parked"], result["complete"]) == (1, True)


@pytest.mark.parametrize("url", ["", NO_DATABASE], ids=["none", "unreachable"])
def test_what_needs_no_database_is_done_without_one_and_says_that_it_is_not_noted(
    written: Deployment, url: str
) -> None:
    more = str(written.partitions + 1)
    for command in (["dlq", "budget", "clear"], ["topics", "alter", "--partitions", more, "--yes"]):
        done = run_inside(written, *command, JOBSTATUS_DATABASE_URL=url)
        assert "this is not noted in the audit log: " in done.stderr
    assert entries(written) == []
    assert run_inside(written, "topics", "alter", "--partitions", more).stdout.endswith("nothing to do\n")


def test_a_command_that_is_killed_is_noted_as_begun_and_not_as_ended(written: Deployment) -> None:
    """What an operator does then is in docs/how-to/change-from-the-console.md: the same again."""
    command = ["purge", "--status", "success", "--older-than", "1s", "--yes"]
    with locked(written), Command[bytes]([COMMAND, *command], env=written.environ) as process:
        until(lambda: entries(written), "it has begun")
        process.kill()
        process.wait(30)
    (killed,) = entries(written)
    assert (killed.action, killed.finished_at, killed.outcome, killed.result) == ("purge", None, None, None)
    assert killed.plan["rows"] == {"success": 2}
    run_inside(written, *command)
    again, before = entries(written)
    assert before == killed, "it stays as it is"
    assert (again.outcome, (again.result or {})["purged"]) == ("done", 2)


def test_what_changes_nothing_is_not_noted(written: Deployment) -> None:
    run_inside(written, "dlq", "redrive", "--dry-run")
    run_inside(written, "verify", code=None)
    run_inside(written, "verify", "--repair")
    run_inside(written, "purge", "--status", "success", "--older-than", "1s", "--dry-run")
    run_inside(written, "offsets", "reset", "--to", "beginning", "--dry-run")
    run_inside(written, "offsets", "reset", "--to", "beginning", code=2)
    run_inside(written, "topics", "alter", "--partitions", str(written.partitions + 1), "--dry-run")
    run_inside(written, "topics", "alter", "--partitions", str(written.partitions), "--yes")
    run_inside(written, "replay", "--into", "jobs_new", "--dry-run")
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
