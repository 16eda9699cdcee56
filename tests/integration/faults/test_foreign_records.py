"""Records that other programs write: only such a record suffers, and no command and no group stops because of it."""

from __future__ import annotations

import hashlib
import json
import random
import re
import urllib.request
from dataclasses import replace
from typing import Final

import pytest
from jobstatus_consumer.records import RawRecord
from jobstatus_schemas import encode
from support.deployment import ConsumerProcess, Deployment, made_events
from support.foreign import UNREADABLE, produce_compressed, produce_with_headers
from support.inside import run_inside
from support.topics import alter_topic, remove_records
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

MIB: Final = 1024 * 1024


def metrics(consumer: ConsumerProcess) -> str:
    consumer.says("metrics and health on")
    found = re.search(r"metrics and health on (http://\S+)", consumer.text())
    assert found is not None
    with urllib.request.urlopen(f"{found[1]}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def test_a_header_name_that_is_not_utf8_costs_that_header_alone(deployed: Deployment) -> None:
    early, late, *rest = [item._replace(job_id="job-1") for item in made_events(6, 1)]
    deployed.produce_events([late])
    late_mark = (b"jobstatus.late", b"1")
    headers = [(b"before", b"1"), (UNREADABLE, b"2"), late_mark, (UNREADABLE, b"")]
    # late and older: without its readable header it would overwrite the row
    produce_with_headers(deployed.bootstrap, deployed.topic, b"job-1", encode(early), headers)
    consumer = deployed.consumer("--http-address", "127.0.0.1:0")
    deployed.caught_up()
    assert deployed.rows()["job-1"].event_id == late.event_id
    consumer.says("the names of 2 headers are not UTF-8; they are ignored, the record is not")
    counted = re.compile(r"jobstatus_unreadable_headers_total\{[^}]*\} 2\.0")
    until(lambda: counted.search(metrics(consumer)), "the metric counts them")
    produce_with_headers(deployed.bootstrap, deployed.topic, b"job-1", encode(rest[-1]), [(UNREADABLE, b"")])
    deployed.caught_up()
    assert consumer.stop() == 0
    assert deployed.rows()["job-1"].event_id == rest[-1].event_id


def test_no_command_minds_a_header_name_that_is_not_utf8(deployed: Deployment) -> None:
    event = made_events(1, 1)[0]._replace(job_id="job-1")
    produce_with_headers(deployed.bootstrap, deployed.topic, b"job-1", encode(event), [(UNREADABLE, b"1")])
    produce_with_headers(deployed.bootstrap, deployed.topic, b"job-1", b"junk", [(b"kept", b"1"), (UNREADABLE, b"1")])
    produce_with_headers(deployed.bootstrap, f"{deployed.topic}.dlq", b"job-1", b"theirs", [(UNREADABLE, b"1")])
    assert deployed.drain()["dead_letters"] == 1
    kept = [dict(letter.headers).get("kept") for letter in deployed.dead_letters() if letter.value == b"junk"]
    assert kept == [b"1"]
    for command in (["verify"], ["replay", "--dry-run"], ["history", "job-1"], ["status"]):
        run_inside(deployed, *command)
    listed = json.loads(run_inside(deployed, "dlq", "list", "--json").stdout)
    assert (listed["open"] + sum(group["settled"] for group in listed["groups"]), listed["foreign"]) == (1, 1)
    redriven = run_inside(deployed, "dlq", "redrive", "--dry-run", "--json")
    assert json.loads(redriven.stdout)["selected"] == 1
    assert run_inside(deployed, "replay", "--yes", "--json").returncode == 0


def test_compressed_junk_becomes_a_dead_letter_and_stops_nobody(deployed: Deployment) -> None:
    events = made_events(40, 10)
    deployed.produce_events(events[:20])
    junk = b"junk " * 600_000
    produce_compressed(deployed.bootstrap, deployed.topic, [(b"job-1", junk)])
    produce_compressed(deployed.bootstrap, deployed.topic, [(b"job-2", bytes(20 * MIB))])
    produce_compressed(deployed.bootstrap, deployed.topic, [(b"job-3", bytes(101 * MIB))], "zstd")
    deployed.produce_events(events[20:])
    assert deployed.drain()["dead_letters"] == 3
    deployed.assert_exact()
    letters = {letter.key or b"": letter for letter in deployed.dead_letters()}
    assert letters[b"job-1"].value == junk
    told = marks(letters[b"job-2"])
    assert (told["reason"], told["cut"], told["size"]) == ("too_large", "value", str(20 * MIB))
    assert told["sha256"] == hashlib.sha256(bytes(20 * MIB)).hexdigest()
    assert letters[b"job-2"].value == bytes(4096)
    # of a batch that the client cannot expand nothing is known, not even the key
    told = marks(letters[b""])
    assert (told["reason"], told["cut"], letters[b""].value) == ("not_decompressed", "value", b"")
    listed = json.loads(run_inside(deployed, "dlq", "list", "--each", "--json").stdout)
    assert {item["cut"] for item in listed["letters"]} == {"", "value"}
    for command in (["verify"], ["replay", "--yes"], ["history", "job-2"]):
        run_inside(deployed, *command)


def marks(letter: RawRecord) -> dict[str, str]:
    """Our headers of a dead letter, by name."""
    return {name.removeprefix("jobstatus.dlq."): (text or b"").decode() for name, text in letter.headers}


def test_what_is_too_large_for_the_dead_letters_is_read_from_the_log(deployed: Deployment) -> None:
    deployed.query("ALTER TABLE jobs ADD CONSTRAINT known CHECK (status <> 'error')")
    event = made_events(1, 1)[0]._replace(job_id="job-1", status="error")
    alter_topic(deployed.bootstrap, f"{deployed.topic}.dlq", "max.message.bytes", "6000")
    # the table refuses it, and its error message does not compress
    text = random.Random(1).randbytes(8000).hex()
    deployed.produce_events([event._replace(error_message=text), event._replace(job_id="job-2")])
    deployed.produce([("job-3", random.Random(2).randbytes(9000), [("large", b"x" * 5000)])])
    assert deployed.drain()["dead_letters"] == 3
    found = {letter.key: marks(letter) for letter in deployed.dead_letters()}
    assert [found[key].get("cut") for key in (b"job-1", b"job-2", b"job-3")] == ["value", None, "value,headers"]
    listed = json.loads(run_inside(deployed, "dlq", "list", "--each", "--json").stdout)
    positions = {item["job_id"]: item["position"] for item in listed["letters"]}
    shown = json.loads(run_inside(deployed, "dlq", "show", positions["job-1"], "--show-values", "--json").stdout)
    assert shown["letters"][0]["event"]["error_message"] == text
    assert shown["letters"][0]["original"] == "read from the log"
    shown = json.loads(run_inside(deployed, "dlq", "show", positions["job-3"], "--show-values", "--json").stdout)
    assert len(shown["letters"][0]["value"]) == 2 * 9000
    assert "large" in shown["letters"][0]["headers"]
    deployed.query("ALTER TABLE jobs DROP CONSTRAINT known")
    done = json.loads(run_inside(deployed, "dlq", "redrive", "--stage", "write", "--yes", "--json").stdout)
    assert (done["applied"], done["failed_again"]) == (2, {})
    assert deployed.rows()["job-1"].error_message == text
    remove_records(deployed.bootstrap, deployed.topic, deployed.ends())
    shown = json.loads(run_inside(deployed, "dlq", "show", positions["job-3"], "--show-values", "--json").stdout)
    assert shown["letters"][0]["original"] == "no longer in the log"
    assert len(shown["letters"][0]["value"]) == 2 * 4096


def test_foreign_records_among_the_dead_letters_break_no_command(deployed: Deployment) -> None:
    deployed.produce([("job-1", b"junk", ())])
    assert deployed.drain()["dead_letters"] == 1
    ours = {"topic": deployed.topic, "partition": "0", "offset": "7", "group": deployed.group, "table": "jobs"}
    odd: list[dict[str, str]] = [
        {},
        {"topic": "t\n\x1b[2J"},
        {"partition": "9" * 5000},
        {"partition": "2147483647", "offset": "9223372036854775807", "cut": "value,key,headers", "size": "-1"},
        {"timestamp": "--5", "first.seen": "9999999-99-99T99", "cut": "value"},
        {"timestamp": "9223372036854775807", "log.id": "/" * 900, "stage": "s" * 100_000, "reason": "\x00"},
    ]
    records: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]] = [(None, None, []), (b"k", b"v", [])]
    for forged in odd:
        headers = [(f"jobstatus.dlq.{name}", text.encode()) for name, text in {**ours, **forged}.items()]
        records += [(b"job-1", b"theirs", headers), (None, None, headers), (b"\xff\x00", bytes(50), headers)]
    replace(deployed, topic=f"{deployed.topic}.dlq").produce(records)
    listed = json.loads(run_inside(deployed, "dlq", "list", "--each", "--json").stdout)
    assert listed["foreign"] == 2 + 3
    for command in (
        ["dlq", "list", "--each"],
        ["dlq", "show", "2147483647:9223372036854775807", "--show-values"],
        ["dlq", "show", "0:7", "--json", "--show-values"],
        ["dlq", "redrive", "--dry-run"],
        ["dlq", "purge", "--before", "now", "--dry-run"],
        ["history", "job-1"],
        ["verify"],
        ["status"],
    ):
        run_inside(deployed, *command)
    # none of them is an event, so all stay
    assert "failed again" in run_inside(deployed, "dlq", "redrive", "--yes", code=1).stderr
    assert json.loads(run_inside(deployed, "dlq", "purge", "--before", "now", "--even-open", "--yes", "--json").stdout)[
        "removed"
    ]
