"""Actions: a plan with a digest, then exactly that plan; what has changed since is refused, and all of it is noted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from jobstatus_consumer.config import Settings, load_settings
from jobstatus_consumer.errors import DeploymentError, JobStatusError, PlanChangedError, SettingsError, StartError
from jobstatus_consumer.operations import Action, ActionPlan, Means, action_of, apply_exactly
from jobstatus_consumer.operations.actions import replaying
from jobstatus_consumer.store import AuditTable
from jobstatus_schemas import JobStatusEvent, encode
from support.deployment import Deployment
from support.inside import run_inside

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def event(job_id: str, status: str, number: int) -> JobStatusEvent:
    at = 1_700_000_000_000_000 + number
    return JobStatusEvent(f"00000000-0000-0000-0000-{number:012d}", job_id, status, "s3cret", 1, "worker-7", at)


@pytest.fixture
def written(deployed: Deployment) -> Deployment:
    deployed.produce_events([event("a", "processing", 0), event("a", "success", 1), event("b", "success", 2)])
    deployed.drain()
    return deployed


@pytest.fixture
def audit(written: Deployment) -> Iterator[AuditTable]:
    with AuditTable(written.database_url, written.table) as found:
        yield found


def settings_of(deployed: Deployment, **flags: Any) -> Settings:
    return load_settings(deployed.variables, flags)


def asked(deployed: Deployment, name: str, **given: str) -> Action:
    fields = {field.rstrip("_"): text for field, text in given.items()}
    return action_of(name, fields, Means(settings_of(deployed), Event()))


def again(deployed: Deployment, plan: ActionPlan) -> Action:
    """The same request, as it comes back from a form."""
    name = plan.action.replace(" ", "-")
    return action_of(name, plan.request, Means(settings_of(deployed), Event()))


def reject_then_allow(deployed: Deployment, *events: JobStatusEvent) -> None:
    """Have the consumer reject these events, by a constraint that is gone afterwards."""
    deployed.query("ALTER TABLE jobs ADD CONSTRAINT no_errors CHECK (status <> 'error') NOT VALID")
    deployed.produce((item.job_id, encode(item), ()) for item in events)
    deployed.drain()
    deployed.query("ALTER TABLE jobs DROP CONSTRAINT no_errors")


def test_a_redrive_applies_what_was_planned_and_is_noted(written: Deployment, audit: AuditTable) -> None:
    reject_then_allow(written, event("a", "error", 5), event("c", "error", 6))
    plan = asked(written, "redrive", reason="check_violation").plan()
    assert (plan.action, plan.changes, plan.unit) == ("redrive", 2, "event")
    assert plan.digest == asked(written, "redrive", reason="check_violation").plan().digest
    assert "s3cret" not in str(plan.as_dict())
    result = apply_exactly(again(written, plan), plan.digest, audit, "ann")
    assert result["applied"] == 2
    written.assert_exact()
    (entry,) = audit.latest(10)
    assert (entry.actor, entry.action, entry.outcome, entry.plan["digest"]) == ("ann", "redrive", "done", plan.digest)
    assert entry.result is not None
    assert entry.result["applied"] == 2
    assert asked(written, "redrive").plan().changes == 0


def test_a_plan_that_no_longer_holds_is_refused_and_nothing_changes(written: Deployment, audit: AuditTable) -> None:
    reject_then_allow(written, event("a", "error", 5))
    plan = asked(written, "redrive").plan()
    reject_then_allow(written, event("c", "error", 6))
    with pytest.raises(
        PlanChangedError, match=r"what matches has changed since the plan was made: 2 now\. Nothing"
    ) as new:
        apply_exactly(again(written, plan), plan.digest, audit, "ann")
    assert audit.latest(10) == []
    assert written.query("SELECT status FROM jobs ORDER BY job_id") == [("success",), ("success",)]
    assert isinstance(new.value.plan, ActionPlan)
    assert apply_exactly(again(written, new.value.plan), new.value.plan.digest, audit, "ann")["applied"] == 2


def test_a_repair_sets_the_rows_that_were_planned(written: Deployment, audit: AuditTable) -> None:
    written.query("UPDATE jobs SET status = 'wrong' WHERE job_id = 'a'")
    plan = asked(written, "repair").plan()
    assert (plan.action, plan.changes, plan.facts["different"]) == ("repair", 1, 1)
    assert "s3cret" not in str(plan.as_dict())
    written.query("UPDATE jobs SET status = 'wrong' WHERE job_id = 'b'")
    with pytest.raises(PlanChangedError):
        apply_exactly(again(written, plan), plan.digest, audit, "ann")
    plan = asked(written, "repair", job_id="b\nno such job").plan()
    assert plan.changes == 1
    assert apply_exactly(again(written, plan), plan.digest, audit, "ann")["set_rows"] == 1
    assert written.query("SELECT status FROM jobs ORDER BY job_id") == [("wrong",), ("success",)]
    plan = asked(written, "repair").plan()
    assert apply_exactly(again(written, plan), plan.digest, audit, "ann")["set_rows"] == 1
    written.assert_exact()


def test_a_purge_removes_what_was_planned(written: Deployment, audit: AuditTable) -> None:
    plan = asked(written, "purge", status="success,error", older_than="1d").plan()
    assert (plan.changes, plan.facts["rows"]) == (2, {"success": 2})
    assert set(plan.request) == {"status", "before"}
    written.query("UPDATE jobs SET status = 'processing' WHERE job_id = 'a'")
    with pytest.raises(PlanChangedError):
        apply_exactly(again(written, plan), plan.digest, audit, "ann")
    assert written.query("SELECT count(*) FROM jobs") == [(2,)]
    plan = again(written, plan).plan()
    assert plan.changes == 1
    assert apply_exactly(again(written, plan), plan.digest, audit, "ann")["purged"] == 1
    assert written.query("SELECT job_id FROM jobs") == [("a",)]


def test_other_rows_in_the_same_number_are_another_plan(written: Deployment) -> None:
    plan = asked(written, "purge", status="success", older_than="1d").plan()
    written.query("UPDATE jobs SET job_id = 'z' WHERE job_id = 'b'")
    found = again(written, plan).plan()
    assert (found.changes, found.digest == plan.digest) == (plan.changes, False)


def test_an_undo_fixes_its_range_and_sets_the_rows_back(written: Deployment, audit: AuditTable) -> None:
    first = ",".join(f"{number}:0" for number in range(written.partitions))
    plan = asked(written, "undo", from_=first, status="success").plan()
    assert (plan.changes, plan.facts["no_other_event"], plan.request["from"]) == (1, 1, first)
    assert plan.request["to"] != "now"
    # the range is fixed, so news of another job change nothing in it
    written.produce_events([event("new", "success", 9)])
    written.drain()
    assert apply_exactly(again(written, plan), plan.digest, audit, "ann")["set_rows"] == 1
    assert written.query("SELECT status FROM jobs WHERE job_id = 'a'") == [("processing",)]


def test_a_reset_moves_the_group_to_what_was_planned(written: Deployment, audit: AuditTable) -> None:
    plan = asked(written, "offsets-reset", to="beginning").plan()
    assert (plan.action, plan.changes) == ("offsets reset", written.partitions)
    written.produce_events([event("c", "success", 9)])
    written.drain()
    with pytest.raises(PlanChangedError):
        apply_exactly(again(written, plan), plan.digest, audit, "ann")
    plan = again(written, plan).plan()
    assert apply_exactly(again(written, plan), plan.digest, audit, "ann") == {"moved": written.partitions}
    assert set(written.committed().values()) == {0}
    written.consumer()
    written.caught_up()
    with pytest.raises(JobStatusError, match="member"):
        asked(written, "offsets-reset", to="beginning").plan()


def test_a_replay_writes_the_jobs_that_were_planned_and_no_other(written: Deployment, audit: AuditTable) -> None:
    written.query("DELETE FROM jobs WHERE job_id = 'a'")
    plan = asked(written, "replay").plan()
    assert (plan.action, plan.changes, plan.unit) == ("replay", 1, "row")
    facts = plan.facts
    assert (facts["records"], facts["events"], facts["jobs"], facts["new_rows"]) == (3, 3, 2, 1)
    assert facts["change_nothing"] == {"redelivered": 1}
    assert plan.request["to"] != "now"
    (example,) = plan.examples
    assert re.fullmatch(r"'a': new row, - -> \S+@\d+, success", example)
    assert "s3cret" not in str(plan.as_dict())
    # after the plan was made again, b loses its row, too: what is applied is the plan all the same
    action = again(written, plan)
    assert action.plan().digest == plan.digest
    written.query("DELETE FROM jobs WHERE job_id = 'b'")
    result = action.apply()
    assert (result["events"], result["complete"]) == (2, True)
    assert written.query("SELECT job_id FROM jobs") == [("a",)]
    plan = asked(written, "replay").plan()
    assert apply_exactly(again(written, plan), plan.digest, audit, "ann")["applied"] == 1
    written.assert_exact()
    (entry,) = audit.latest(10)
    assert (entry.actor, entry.action, entry.outcome, entry.plan["digest"]) == ("ann", "replay", "done", plan.digest)
    assert asked(written, "replay").plan().changes == 0


def test_a_replay_whose_plan_no_longer_holds_is_refused(written: Deployment, audit: AuditTable) -> None:
    written.query("DELETE FROM jobs WHERE job_id = 'a'")
    plan = asked(written, "replay", from_="beginning").plan()
    written.query("DELETE FROM jobs WHERE job_id = 'b'")
    with pytest.raises(PlanChangedError, match=r"2 now\. Nothing was changed"):
        apply_exactly(again(written, plan), plan.digest, audit, "ann")
    assert (audit.latest(10), written.query("SELECT count(*) FROM jobs")) == ([], [(0,)])
    # news of another job are after the stretch, which is fixed
    plan = again(written, plan).plan()
    written.produce_events([event("new", "success", 9)])
    written.drain()
    assert apply_exactly(again(written, plan), plan.digest, audit, "ann")["complete"] is True
    written.assert_exact()


def test_a_replay_takes_the_wanted_events_and_leaves_jobs_without_a_row(written: Deployment, audit: AuditTable) -> None:
    written.query("DELETE FROM jobs WHERE job_id = 'b'")
    written.query("UPDATE jobs SET log_id = NULL, log_offset = NULL, status = 'by hand' WHERE job_id = 'a'")
    plan = asked(written, "replay", existing_only="yes", status="processing,success").plan()
    assert (plan.changes, plan.facts["changed_rows"], plan.facts["skipped_jobs"]) == (1, 1, 1)
    apply_exactly(again(written, plan), plan.digest, audit, "ann")
    assert written.query("SELECT job_id, status FROM jobs") == [("a", "success")]
    plan = asked(written, "replay", job_id="b", worker_id="worker-7").plan()
    assert (plan.changes, plan.facts["jobs"]) == (1, 1)
    apply_exactly(again(written, plan), plan.digest, audit, "ann")
    written.assert_exact()
    assert asked(written, "replay", worker_id="another").plan().facts["events"] == 0


def test_a_stretch_that_is_too_long_names_the_command(written: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "MOST_OFFSETS", 2)
    given = {"from_": "beginning", "status": "success", "worker_id": "it's one", "existing_only": "yes"}
    with pytest.raises(StartError) as error:
        asked(written, "replay", **given).plan()
    assert str(error.value) == (
        "the stretch has 3 offsets, and a plan here reads 2 at most; nothing was changed. Choose a shorter one, or "
        "type: jobstatus replay --from beginning --to now --status success --worker-id 'it'\"'\"'s one' --existing-only"
    )
    command = str(error.value).partition("type: ")[2]
    run_inside(written, *shlex.split(command)[1:], "--yes")
    with pytest.raises(StartError, match=r"--job-id a --job-id b --job-id c \(and --job-id for 1 more job\)$"):
        asked(written, "replay", job_id="a\nb\nc\nd").plan()


def test_a_stopped_replay_says_what_it_did(written: Deployment) -> None:
    written.query("DELETE FROM jobs")
    stop = Event()
    action = action_of("replay", {}, Means(settings_of(written), stop))
    assert action.plan().changes == 2
    stop.set()
    with pytest.raises(JobStatusError, match=r"^stopped; 0 events applied\. Plan it again for the rest$"):
        action.apply()
    assert written.query("SELECT count(*) FROM jobs") == [(0,)]


def test_a_job_without_an_event_is_named(written: Deployment) -> None:
    with pytest.raises(SettingsError, match=r"^job_id: the stretch has no such event of 'none'; nothing was changed$"):
        asked(written, "replay", job_id="a\nnone").plan()


def test_an_action_that_cannot_be_noted_is_not_done(written: Deployment, audit: AuditTable) -> None:
    plan = asked(written, "purge", status="success", older_than="1d").plan()
    written.query("DROP TABLE jobs_audit")
    with pytest.raises(DeploymentError, match=r"there is no table jobs_audit \(jobstatus migrate\)"):
        apply_exactly(again(written, plan), plan.digest, audit, "ann")
    assert written.query("SELECT count(*) FROM jobs") == [(2,)]


def test_a_plan_that_changes_nothing_can_be_applied(written: Deployment, audit: AuditTable) -> None:
    plan = asked(written, "redrive").plan()
    assert plan.changes == 0
    assert apply_exactly(again(written, plan), plan.digest, audit, "ann") == {}


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("drop", {}, "there is no action 'drop'; there are redrive, repair, undo, purge, offsets-reset"),
        ("redrive", {"table": "x"}, "'table' is no field of redrive; its fields are stage"),
        ("redrive", {"stage": "read"}, "stage: wanted decode, validate, write"),
        ("redrive", {"offsets": "1"}, "'1' is not P:N"),
        ("redrive", {"job_id": "x" * 513}, "job_id: 513 bytes"),
        ("redrive", {"job_id": "a\0b"}, "job_id: holds a NUL"),
        ("redrive", {"reason": ",".join(map(str, range(2000)))}, "reason: wanted at most 1,000"),
        ("purge", {}, "status: give the statuses"),
        ("purge", {"status": "success"}, "older_than: "),
        ("purge", {"status": "success", "older_than": "-1d"}, "older_than: "),
        ("purge", {"status": "success", "before": "9" * 19}, "before: wanted microseconds"),
        ("purge", {"status": "x" * 65, "older_than": "1d"}, "status: 65 bytes"),
        ("undo", {"from": "beginning"}, "from: give the time or the offsets"),
        ("offsets-reset", {}, "to: wanted beginning, now"),
        ("replay", {"existing_only": "no"}, "existing_only: wanted yes"),
        ("replay", {"table": "x"}, "'table' is no field of replay; its fields are from, to, job_id"),
        ("replay", {"status": "x" * 65}, "status: 65 bytes"),
    ],
)
def test_what_cannot_be_asked_is_named(name: str, given: dict[str, str], words: str) -> None:
    settings = load_settings({"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    with pytest.raises(SettingsError) as error:
        action_of(name, given, Means(settings, Event()))
    assert words in str(error.value)
