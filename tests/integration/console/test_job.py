"""The page of one job, and its JSON, over a real log."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from support.console import Console
from support.console_scene import IDS, STORY, event
from support.waiting import until

pytestmark = pytest.mark.usefixtures("scene")


def test_the_history_says_what_made_the_row_and_why_each_other_event_did_not(console: Console) -> None:
    found = console.get(f"/api/jobs/{STORY}/history").json
    assert found["row"]["status"] == "success"
    assert [item["outcome"] for item in found["events"]] == [*["superseded"] * 5, "lower_attempt", "shown"]
    assert [(stay["status"], stay["attempt"]) for stay in found["stays"]] == [
        ("pending", 1),
        ("processing", 1),
        ("error", 1),
        ("pending", 2),
        ("processing", 2),
        ("success", 2),
    ]
    assert found["unread"] == []


def test_the_page_shows_the_same(console: Console) -> None:
    page = console.get(f"/jobs/{STORY}")
    assert page.code == 200
    for words in ("the row shows this one", "its attempt is lower than one before it", "Time in each status"):
        assert words in page.text


def test_an_unknown_job_is_not_found(console: Console) -> None:
    page = console.get("/jobs/there-is-none")
    assert page.code == 404
    assert "Nothing is known of this job" in page.text
    assert console.get("/api/jobs/there-is-none/history").code == 404


@pytest.mark.parametrize("text", ["a%FFb", "a%00b", "x" * 513])
def test_what_can_be_no_job_is_refused(console: Console, text: str) -> None:
    assert console.get(f"/jobs/{text}").code == 400
    answer = console.get(f"/api/jobs/{text}/history")
    assert answer.code == 400
    assert answer.json["error"].startswith("job_id")


@pytest.mark.parametrize("job_id", IDS)
def test_every_id_has_a_page(console: Console, job_id: str) -> None:
    path = f"/jobs/{quote(job_id, safe='')}" if job_id not in (".", "..") else f"/job?id={job_id}"
    page = console.get(path)
    assert page.code == 200
    assert "the row shows this one" in page.text
    assert f'href="{path}"' in console.get("/jobs?worker=odd%20ids").text


def test_a_job_that_is_not_written_yet_has_a_timeline(console: Console) -> None:
    console.deployed.produce_events([event("waits", "pending", 0)])
    until(lambda: console.get("/api/overview").json["lag"] == 1, "the console sees it")
    found = console.get("/api/jobs/waits/history").json
    assert found["row"] is None
    assert [item["outcome"] for item in found["events"]] == ["waiting"]
    console.deployed.drain()
