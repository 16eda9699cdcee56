"""Dead letters: seen, applied once their cause is mended, never over what is newer, and purged only when settled."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.operations import count_open_letters
from jobstatus_schemas import encode
from support.deployment import Deployment, made_events
from support.forked import COMMAND, Command
from support.inside import run_inside
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def dlq(deployed: Deployment, *arguments: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_inside(deployed, "dlq", *arguments, "--json", code=code).stdout)
    return found


def open_letters(deployed: Deployment) -> int:
    """The number for the metric."""
    return count_open_letters(load_settings(deployed.environ), lambda: False)


def refuse_errors(deployed: Deployment) -> None:
    deployed.query("ALTER TABLE jobs ADD CONSTRAINT known CHECK (status <> 'error')")


def accept_errors(deployed: Deployment) -> None:
    deployed.query("ALTER TABLE jobs DROP CONSTRAINT known")


def test_after_the_cause_was_mended_a_redrive_lands_what_nothing_newer_has_replaced(deployed: Deployment) -> None:
    assert open_letters(deployed) == 0
    refuse_errors(deployed)
    events = made_events(400, 60)
    # half of the jobs end with an error, and some of those get news before the redrive
    deployed.produce_events(events)
    deployed.produce([("job-0", b"rubbish: secret", ()), (None, b"rubbish", ())])
    deployed.drain()
    before = dlq(deployed, "list", "--each")
    write = next(group for group in before["groups"] if group["stage"] == "write")
    assert (write["reason"], write["where"]) == ("check_violation", "known")
    assert write["open"] > 0
    assert write["settled"] > 0
    assert open_letters(deployed) == before["open"]
    planned = dlq(deployed, "redrive", "--stage", "write", "--dry-run")
    assert planned["tried"] == write["open"]
    again = run_inside(deployed, "dlq", "redrive", "--stage", "write", "--yes", code=1)
    assert f"{write['open']} failed again" in again.stderr
    accept_errors(deployed)
    newer = next(item["job_id"] for item in before["letters"] if not item["settled"] and item["stage"] == "write")
    deployed.produce_events([made_events(1, 1, seed=5)[0]._replace(job_id=newer, status="newer")])
    deployed.drain()
    one = next(item for item in before["letters"] if not item["settled"] and item["job_id"] not in (newer, None))
    first = dlq(deployed, "redrive", "--job-id", one["job_id"], "--offsets", one["position"], "--yes")
    assert first["selected"] == 1
    done = dlq(deployed, "redrive", "--stage", "write", "--yes")
    assert done["failed_again"] == {}
    assert deployed.rows()[newer].status == "newer"
    deployed.assert_exact()
    twice = dlq(deployed, "redrive", "--stage", "write", "--yes")
    assert (twice["tried"], twice["applied"]) == (0, 0)
    assert dlq(deployed, "list", "--stage", "write")["open"] == 0
    shown = run_inside(deployed, "dlq", "show", one["position"]).stdout
    assert "check_violation" in shown
    assert "it broke" not in shown
    assert "it broke" in run_inside(deployed, "dlq", "show", one["position"], "--show-values").stdout
    assert "no dead letter" in run_inside(deployed, "dlq", "show", "0:999999", code=1).stderr
    refused = run_inside(deployed, "dlq", "redrive", "--offsets", "17", code=2)
    assert "is not P:N" in refused.stderr
    assert "secret" not in run_inside(deployed, "dlq", "list", "--each").stdout


def test_purge_keeps_what_is_open_unless_told(deployed: Deployment) -> None:
    refuse_errors(deployed)
    deployed.produce_events(made_events(80, 80))
    deployed.drain()
    count = len(deployed.dead_letters())
    refused = run_inside(deployed, "dlq", "purge", "--before", "now", "--yes", code=1)
    assert "open dead letters lie before it" in refused.stderr
    assert len(deployed.dead_letters()) == count
    assert dlq(deployed, "purge", "--before", "1h ago", "--yes")["removed"] is False
    accept_errors(deployed)
    dlq(deployed, "redrive", "--yes")
    assert dlq(deployed, "purge", "--before", "now", "--dry-run")["settled"] == count
    assert len(deployed.dead_letters()) == count
    assert dlq(deployed, "purge", "--before", "now", "--yes")["removed"] is True
    assert deployed.dead_letters() == []
    deployed.produce([("job-1", b"rubbish", ()), (None, b"rubbish", ())])
    deployed.drain()
    assert dlq(deployed, "purge", "--before", "now", "--yes", "--even-open")["removed"] is True
    assert "--before 9:1" in run_inside(deployed, "dlq", "purge", "--before", "9:1", "--yes", code=2).stderr


def test_purge_keeps_what_is_no_dead_letter_unless_told(deployed: Deployment) -> None:
    letters = replace(deployed, topic=f"{deployed.topic}.dlq")
    letters.produce([(f"theirs-{number}", b"not ours", ()) for number in range(7)])
    held = letters.ends()
    words = "7 records that are no dead letters of jobstatus"
    refused = run_inside(deployed, "dlq", "purge", "--before", "now", "--yes", code=1)
    assert f"{words} lie before it, which would be lost; nothing was removed" in refused.stderr
    assert len(deployed.dead_letters()) == 7
    assert words in run_inside(deployed, "dlq", "purge", "--before", "now", "--dry-run").stdout
    assert dlq(deployed, "purge", "--before", "now", "--dry-run")["foreign"] == 7
    number = next(number for number, end in held.items() if end)
    bound = ",".join(f"{n}:{min(1, end)}" for n, end in held.items() if n == number)
    assert dlq(deployed, "purge", "--before", bound, "--dry-run")["foreign"] == 1
    done = run_inside(deployed, "dlq", "purge", "--before", "now", "--even-open", "--yes")
    assert f"removed 0 settled and 0 open dead letters and {words} before now" in done.stdout
    assert deployed.dead_letters() == []


def test_a_redrive_of_which_nothing_can_be_tried_says_the_same_with_and_without_yes(deployed: Deployment) -> None:
    empty = run_inside(deployed, "dlq", "redrive", "--json")
    assert json.loads(empty.stdout)["selected"] == 0
    # of one partition, so that they are met in order
    deployed.produce([("job-1", b"rubbish", ())] * 5)
    deployed.drain()
    asked, told = (run_inside(deployed, "dlq", "redrive", "--json", *yes, code=1) for yes in ([], ["--yes"]))
    assert json.loads(asked.stdout) == json.loads(told.stdout)
    assert json.loads(asked.stdout)["failed_again"] == {"not_avro_single_object": 5}
    assert "5 failed again" in asked.stderr


def test_what_moves_the_cursor_is_shown_by_its_name(deployed: Deployment) -> None:
    deployed.produce([("evil\x1b[2J\x1b[31m\nstate  settled", b"rubbish", ())])
    deployed.drain()
    position = dlq(deployed, "list", "--each")["letters"][0]["position"]
    letters = replace(deployed, topic=f"{deployed.topic}.dlq")
    forged = {"topic": "\x1b[2Jelsewhere", "partition": "3", "offset": "17", "stage": "de\ncode", "reason": "\x1b[31m"}
    letters.produce([("k", b"v", [(f"jobstatus.dlq.{name}", text.encode()) for name, text in forged.items()])])
    seen = [
        run_inside(deployed, "dlq", *arguments)
        for arguments in (
            ["show", position],
            ["show", position, "--show-values"],
            ["show", "3:17"],
            ["list", "--each"],
            ["redrive", "--dry-run"],
        )
    ]
    for done in seen:
        assert "\x1b" not in done.stdout + done.stderr
    assert re.findall(r"^ +state  (.*)$", seen[0].stdout, re.M) == ["open"]
    assert "evil\\x1b[2J\\x1b[31m\\nstate  settled" in seen[0].stdout


def test_eighty_columns_hold_a_line_for_each_cause(deployed: Deployment) -> None:
    refuse_errors(deployed)
    deployed.produce_events(made_events(80, 8))
    deployed.produce([("job-0", b"rubbish", ())])
    deployed.drain()
    narrow = Command[bytes](
        [COMMAND, "dlq", "list"],
        stdout=(theirs := pty.openpty())[1],
        stderr=subprocess.STDOUT,
        env={**deployed.environ, "COLUMNS": "80", "TERM": "dumb"},
    )
    assert narrow.wait(60) == 0
    lines = os.read(theirs[0], 65536).decode().splitlines()
    for end in theirs:
        os.close(end)
    assert max(map(len, lines)) <= 80
    words = [line.split() for line in lines]
    assert ["stage", "cause", "open", "settled", "first", "(UTC)", "last", "(UTC)"] in words
    rows = [row for row in words if row and row[0] in ("write", "decode")]
    assert [(row[:-6]) for row in rows] == [["decode", "not_avro_single_object"], ["write", "check_violation", "known"]]
    assert all(re.fullmatch(r"\d\d-\d\d \d\d:\d\d", " ".join(row[-2:])) for row in rows)


def test_after_the_topic_was_made_again_a_redrive_puts_no_old_news_over_new(deployed: Deployment) -> None:
    refuse_errors(deployed)
    events = [event._replace(job_id=f"job-{number}") for number, event in enumerate(made_events(60, 60))]
    deployed.produce_events(events)
    deployed.drain()
    admin = AdminClient({"bootstrap.servers": deployed.bootstrap})
    admin.delete_topics([deployed.topic])[deployed.topic].result(30)
    until(lambda: deployed.topic not in admin.list_topics(timeout=10).topics, "the topic is gone")
    deployed.run("topics", "create", "--partitions", "4", "--replication", "1")
    failed = [event.job_id for event in events if event.status == "error"]
    news = made_events(5, 5, seed=4)
    deployed.produce(
        [
            (job, encode(event._replace(job_id=job, status="newer")), ())
            for job, event in zip(failed, news, strict=False)
        ]
    )
    deployed.drain("--on-lost-offsets", "earliest")
    accept_errors(deployed)
    done = dlq(deployed, "redrive", "--yes")
    assert done["applied"] == len(failed) - 5
    rows = deployed.rows()
    assert {rows[job].status for job in failed[:5]} == {"newer"}
    assert {rows[job].status for job in failed[5:]} == {"error"}
    assert dlq(deployed, "redrive", "--yes")["tried"] == 0
    assert "dead letters" in run_inside(deployed, "replay", "--topic", f"{deployed.topic}.dlq", code=1).stderr
