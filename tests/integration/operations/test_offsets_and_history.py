"""The group's own offsets, moved only while nobody is in it; and one job's history."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from jobstatus_schemas import JobStatusEvent, encode
from jobstatus_schemas.protocol import LATE_HEADER
from support.deployment import Deployment, made_events
from support.inside import run_inside
from support.topics import remove_records
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def offsets(deployed: Deployment, *arguments: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_inside(deployed, "offsets", *arguments, "--json", code=code).stdout)
    return found


def test_the_group_is_moved_back_and_forward_and_the_table_with_it(deployed: Deployment) -> None:
    deployed.produce_events(made_events(600, 60))
    deployed.drain()
    ends, rows = deployed.committed(), deployed.rows()
    assert offsets(deployed, "reset", "--to", "beginning", "--dry-run")["dry_run"] is True
    assert deployed.committed() == ends
    assert "give --yes" in run_inside(deployed, "offsets", "reset", "--to", "beginning", code=2).stderr
    offsets(deployed, "reset", "--to", "0:10", "--yes")
    assert deployed.committed() == {**ends, 0: 10}
    assert deployed.drain()["events"] == ends[0] - 10
    offsets(deployed, "reset", "--to", "1h ago", "--yes")
    assert deployed.drain()["events"] == 600
    assert deployed.rows() == rows
    deployed.produce_events(made_events(90, 60, seed=2))
    told = run_inside(deployed, "offsets", "reset", "--to", "now", "--yes")
    assert "offsets are NEVER written" in told.stdout
    assert deployed.drain()["events"] == 0, "the table's progress does not send it back"
    assert deployed.rows() == rows
    shown = offsets(deployed, "show")
    assert {item["partition"]: item["table"] for item in shown["partitions"]} == deployed.ends()
    assert sum(item["lag"] for item in shown["partitions"]) == 0
    for where, words in (("9:1", "no partition 9"), ("0:99999", "has no offset"), ("2099-01-01T00:00Z", "future")):
        assert words in run_inside(deployed, "offsets", "reset", "--to", where, "--yes", code=2).stderr


def test_a_group_with_a_member_is_refused_with_the_reason(deployed: Deployment) -> None:
    deployed.produce_events(made_events(100, 10))
    consumer = deployed.consumer()
    deployed.caught_up()
    before = deployed.committed()
    for arguments in (["--yes"], ["--dry-run"]):
        refused = run_inside(deployed, "offsets", "reset", "--to", "beginning", *arguments, code=1)
        assert "with 1 member." in refused.stderr
    assert offsets(deployed, "show")["members"] == 1
    assert sum(item["lag"] for item in offsets(deployed, "show")["partitions"]) == deployed.lag()
    assert consumer.stop() == 0
    assert deployed.committed() == before
    until(lambda: offsets(deployed, "show")["members"] == 0, "the member is gone", every=0.2)
    offsets(deployed, "reset", "--to", "beginning", "--yes")
    assert deployed.drain()["events"] == 100


def test_where_retention_ran_ahead_a_reset_accepts_the_loss_as_a_new_log(deployed: Deployment) -> None:
    deployed.produce_events(made_events(200, 20))
    deployed.drain()
    deployed.produce_events(made_events(200, 20, seed=2))
    ends = deployed.ends()
    remove_records(deployed.bootstrap, deployed.topic, {0: ends[0] - 1})
    assert "retention ran ahead" in deployed.run("consume", "--until-caught-up", code=1).stderr
    lost = [item["partition"] for item in offsets(deployed, "show")["partitions"] if item["lost"]]
    assert lost == [0]
    moves = offsets(deployed, "reset", "--to", f"0:{ends[0] - 1}", "--yes")["moves"]
    assert [move["log_id"].rsplit("/", 1)[1] for move in moves] == ["1"]
    assert deployed.drain()["events"] > 0
    assert deployed.lag() == 0
    found = json.loads(run_inside(deployed, "verify", "--json", code=None).stdout)
    assert (found["missing"], found["behind"], found["different"]) == (0, 0, 0)
    assert json.loads(run_inside(deployed, "replay", "--yes", "--json").stdout)["applied"] == 0


def test_history_says_which_event_the_row_shows_and_why_no_other(deployed: Deployment) -> None:
    now = 1_767_268_800_000_000

    def record(status: str, attempt: int | None, at: int, *headers: tuple[str, bytes]) -> Any:
        number = f"00000000-0000-0000-0000-{at:012d}"
        return "job", encode(JobStatusEvent(number, "job", status, "secret", attempt, None, now + at)), headers

    deployed.query("ALTER TABLE jobs ADD CONSTRAINT known CHECK (status <> 'refused')")
    deployed.produce([record("processing", 1, 10)])
    deployed.drain()
    deployed.produce([record("refused", 1, 11)])
    deployed.drain()
    deployed.produce(
        [
            record("processing", 2, 20),
            record("lower", 1, 30),
            record("late", 2, 5, (LATE_HEADER, b"1")),
            record("success", 2, 40),
            ("job", b"rubbish", ()),
        ]
    )
    deployed.drain()
    deployed.produce([record("waiting", 2, 50)])
    found = json.loads(run_inside(deployed, "history", "job", "--json").stdout)
    assert [(item.get("status"), item["outcome"]) for item in found["events"]] == [
        ("processing", "superseded"),
        ("refused", "dead_letter"),
        ("processing", "superseded"),
        ("lower", "lower_attempt"),
        ("late", "late"),
        ("success", "shown"),
        (None, "no_event"),
        ("waiting", "waiting"),
    ]
    assert found["row"]["status"] == "success"
    assert found["remarks"] == []
    spans = [(item["status"], item["attempt"], item["lasts"]) for item in found["timeline"]]
    assert spans == [("processing", 1, False), ("processing", 2, False), ("success", 2, True)]
    assert found["timeline"][0]["since"] == "2026-01-01T12:00:00.000010Z"
    assert found["timeline"][2]["seconds"] > 3600, "from the event until now"
    people = run_inside(deployed, "history", "job").stdout
    assert "the row shows this one" in people
    assert "time in each status" in people
    assert "secret" not in people
    assert "secret" in run_inside(deployed, "history", "job", "--show-values").stdout
    deployed.query("UPDATE jobs SET status = 'bogus'")
    assert "changed by hand" in run_inside(deployed, "history", "job").stdout
    deployed.query("DELETE FROM jobs")
    assert "there is no row" in run_inside(deployed, "history", "job").stdout
    assert "no retained event" in run_inside(deployed, "history", "never-was", code=1).stderr
    assert "wanted 1 to 512" in run_inside(deployed, "history", "x" * 600, code=2).stderr


def made(number: int, job_id: str, status: str, error_message: str | None = None) -> JobStatusEvent:
    now = int(time.time() * 1e6)
    return JobStatusEvent(
        f"00000000-0000-0000-0000-{number:012d}", job_id, status, error_message, None, "w[0]", now + number
    )


def test_an_incarnation_that_is_there_already_is_not_called_new(deployed: Deployment) -> None:
    for seed in (1, 2):
        deployed.produce_events(made_events(100, 20, seed=seed))
        if seed == 1:
            deployed.drain()
    end = deployed.ends()[0]
    remove_records(deployed.bootstrap, deployed.topic, {0: end - 1})
    where = ("offsets", "reset", "--to", f"0:{end - 1}")
    assert "as a new log" in run_inside(deployed, *where, "--dry-run").stdout
    assert "as a new log" in run_inside(deployed, *where, "--yes").stdout
    for to in (f"0:{end - 1}", f"0:{end}"):
        said = run_inside(deployed, "offsets", "reset", "--to", to, "--dry-run").stdout
        assert "partition 0" in said
        assert "as a new log" not in said


def test_history_says_of_a_dead_letter_what_is_known_of_it(deployed: Deployment) -> None:
    def outcomes() -> list[tuple[str, str, str]]:
        found = json.loads(run_inside(deployed, "history", "job", "--json").stdout)["events"]
        return [(item["status"], item["outcome"], item["why"]) for item in found]

    deployed.query("ALTER TABLE jobs ADD CONSTRAINT known CHECK (status <> 'refused')")
    deployed.produce_events([made(1, "job", "refused")])
    deployed.drain()
    unwritten = "a dead letter: it is not written, and would change the row"
    assert outcomes() == [("refused", "open_letter", unwritten)]
    deployed.query("ALTER TABLE jobs DROP CONSTRAINT known")
    run_inside(deployed, "dlq", "redrive", "--yes")
    assert outcomes() == [("refused", "shown", "the row shows this one")]
    deployed.produce_events([made(2, "job", "success")])
    deployed.drain()
    passed = "a dead letter that the row is past; whether it was redriven before is not known"
    assert outcomes() == [("refused", "dead_letter", passed), ("success", "shown", "the row shows this one")]


def test_history_says_who_worked_and_why_it_failed_only_if_asked(deployed: Deployment) -> None:
    deployed.produce_events([made(1, "job", "error", "it broke")])
    deployed.drain()
    for arguments in ((), ("--json",)):
        said = run_inside(deployed, "history", "job", *arguments).stdout
        assert "error" in said
        assert "it broke" not in said
        assert "w[0]" not in said
        said = run_inside(deployed, "history", "job", "--show-values", *arguments).stdout
        assert "it broke" in said
        assert "w[0]" in said
