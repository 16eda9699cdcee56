"""Texts, times and positions as nobody expects them: each command shows them as they are, or says what it wants."""

from __future__ import annotations

import json
import time

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from jobstatus_schemas import JobStatusEvent
from support.deployment import Deployment, made_events
from support.inside import run_inside

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

MARKUP = "j[/x]"


def made(number: int, job_id: str, status: str, error_message: str | None = None) -> JobStatusEvent:
    now = int(time.time() * 1e6)
    return JobStatusEvent(
        f"00000000-0000-0000-0000-{number:012d}", job_id, status, error_message, None, "w[0]", now + number
    )


def test_texts_that_look_like_markup_are_shown_as_they_are(deployed: Deployment) -> None:
    deployed.query("ALTER TABLE jobs ADD CONSTRAINT \"[/c]\" CHECK (status <> '[/refused]')")
    deployed.produce_events(
        [
            made(1, MARKUP, "[b]x", "cannot open [/tmp/x] :smile:"),
            made(2, "other", "[/x]"),
            made(3, "third", "[/refused]"),
        ]
    )
    deployed.drain("--group-id", f"{deployed.group}[/g]")
    explained = run_inside(deployed, "history", MARKUP, "--show-values").stdout
    for words in (MARKUP, "[b]x", "w[0]"):
        assert words in explained
    # a cell that is too narrow breaks at a space
    assert "[/tmp/x]" in explained
    assert ":smile:" in explained
    counted = run_inside(deployed, "status", "--group-id", f"{deployed.group}[/g]").stdout
    for words in ("[/g]: empty", "│ [/x] ", "│ [b]x "):
        assert words in counted
    assert "[/g]: empty" in run_inside(deployed, "offsets", "show", "--group-id", f"{deployed.group}[/g]").stdout
    for more in ((), ("--each",)):
        assert "[/c]" in run_inside(deployed, "dlq", "list", *more).stdout


def test_a_generation_that_is_there_already_is_not_called_new(deployed: Deployment) -> None:
    for seed in (1, 2):
        deployed.produce_events(made_events(100, 20, seed=seed))
        if seed == 1:
            deployed.drain()
    end = deployed.ends()[0]
    admin = AdminClient({"bootstrap.servers": deployed.bootstrap})
    for answer in admin.delete_records([TopicPartition(deployed.topic, 0, end - 1)]).values():
        answer.result(30)
    where = ("offsets", "reset", "--to", f"0:{end - 1}")
    assert "as a new log" in run_inside(deployed, *where, "--dry-run").stderr
    assert "as a new log" in run_inside(deployed, *where, "--yes").stderr
    for to in (f"0:{end - 1}", f"0:{end}"):
        said = run_inside(deployed, "offsets", "reset", "--to", to, "--dry-run").stderr
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
