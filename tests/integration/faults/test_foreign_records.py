"""Records that other programs write: only such a record suffers, and no command and no group stops because of it."""

from __future__ import annotations

import json
import re
import urllib.request

import pytest
from jobstatus_schemas import encode
from support.deployment import ConsumerProcess, Deployment, made_events
from support.foreign import UNREADABLE, produce_with_headers
from support.inside import run_inside
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


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
    until(lambda: "jobstatus_unreadable_headers_total 2.0" in metrics(consumer), "the metric counts them")
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
