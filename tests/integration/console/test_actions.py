"""Actions in the console: the plan, then exactly that plan; who may do it; and the audit page."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from jobstatus_consumer.console import Options
from jobstatus_consumer.operations.actions import replaying
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.postgres import LocalPostgres
from jobstatus_schemas import JobStatusEvent, encode
from playwright.sync_api import Browser, expect
from support.console import Answer, Console, Listening, console_process, running_console, shown_deployment
from support.deployment import Deployment, locked
from support.waiting import until

ODD = "<b>'\"/%\u202e &\n"


@pytest.fixture
def shown(kafka: LocalKafka, postgres: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment of the test's own: an action changes what the other tests look at."""
    with shown_deployment(kafka, postgres, tmp_path_factory) as found:
        yield found


@pytest.fixture
def console(shown: Deployment) -> Iterator[Console]:
    """A console that may change it."""
    with running_console(shown, Options(allow_actions=True)) as found:
        yield found


def event(job_id: str, status: str, number: int) -> JobStatusEvent:
    at = 1_700_000_000_000_000 + number
    return JobStatusEvent(f"00000000-0000-0000-0000-{number:012d}", job_id, status, "s3cret", 1, "worker-7", at)


def reject(deployed: Deployment, *events: JobStatusEvent) -> None:
    """Have the consumer reject these events, by a constraint that is gone afterwards."""
    deployed.query("ALTER TABLE jobs ADD CONSTRAINT no_errors CHECK (status <> 'error') NOT VALID")
    deployed.produce((item.job_id, encode(item), ()) for item in events)
    deployed.drain()
    deployed.query("ALTER TABLE jobs DROP CONSTRAINT no_errors")


def posted(console: Console, path: str, given: Mapping[str, str], **headers: str) -> Answer:
    """A form, as a browser sends it from a page of the console."""
    named = {"Content_Type": "application/x-www-form-urlencoded", "Origin": console.url, **headers}
    return console.ask("POST", path, urlencode(given), named)


def sent(console: Console, path: str, given: Any, **headers: str) -> Answer:
    """A JSON document, as a program sends it."""
    named = {"Content_Type": "application/json", "Origin": console.url, **headers}
    return console.ask("POST", path, json.dumps(given), named)


def hidden(page: Answer) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text)
    return {name: unescape(value) for name, value in found}


def test_a_redrive_goes_from_the_plan_to_done_and_is_in_the_audit_log(console: Console) -> None:
    odd = f"{ODD} redriven"
    written = "SELECT count(*) FROM jobs WHERE job_id IN ('redriven by a form', %s)"
    reject(console.deployed, event("redriven by a form", "error", 1), event(odd, "error", 2))
    plan = posted(console, "/actions/redrive/plan", {"reason": "check_violation"})
    assert plan.code == 200
    assert "2 events would change." in plan.text
    assert "<b>" not in plan.text
    assert "s3cret" not in plan.text
    assert console.deployed.query(written, odd) == [(0,)]
    applied = posted(console, "/actions/redrive/apply", hidden(plan))
    assert (applied.code, applied.headers["location"]) == (303, "/audit")
    assert console.deployed.query(written, odd) == [(2,)]
    (entry, *_) = console.get("/api/audit").json["entries"]
    assert (entry["actor"], entry["action"], entry["outcome"], entry["result"]["applied"]) == (
        "local",
        "redrive",
        "done",
        2,
    )
    page = console.get("/audit")
    assert page.code == 200
    assert "✓ done" in page.text
    assert "<b>" not in page.text


def test_in_a_browser_a_redrive_goes_from_the_plan_to_done(console: Console, browser: Browser) -> None:
    reject(console.deployed, event("clicked", "error", 7))
    page = browser.new_page(locale="en-US")
    try:
        page.goto(f"{console.url}/actions")
        form = page.locator('form[action="/actions/redrive/plan"]')
        form.get_by_label("Job ids, one a line").fill("clicked")
        form.get_by_role("button").click()
        expect(page.get_by_text("1 event would change.")).to_be_visible()
        page.get_by_role("button", name="Apply exactly this").click()
        page.wait_for_url("**/audit")
        expect(page.locator("tbody tr").first).to_contain_text("✓ done")
    finally:
        page.close()
    assert console.deployed.query("SELECT status FROM jobs WHERE job_id = 'clicked'") == [("error",)]


def test_what_has_changed_since_the_plan_is_refused_with_the_new_plan(console: Console) -> None:
    reject(console.deployed, event("c", "error", 3))
    before = console.get("/api/audit").json["entries"]
    plan = sent(console, "/api/actions/redrive/plan", {}).json
    reject(console.deployed, event("d", "error", 4))
    wanted = {**plan["request"], "digest": plan["digest"]}
    page = posted(console, "/actions/redrive/apply", wanted)
    assert page.code == 409
    assert "what matches has changed" in page.text
    refused = sent(console, "/api/actions/redrive/apply", wanted)
    assert (refused.code, refused.json["plan"]["changes"]) == (409, plan["changes"] + 1)
    assert console.get("/api/audit").json["entries"] == before
    newer = {**refused.json["plan"]["request"], "digest": refused.json["plan"]["digest"]}
    assert newer == hidden(page)
    done = sent(console, "/api/actions/redrive/apply", newer)
    assert (done.code, done.json["result"]["applied"]) == (200, plan["changes"] + 1)


def test_a_purge_and_a_reset_are_planned_and_applied(console: Console) -> None:
    console.deployed.produce_events([event("old", "finished", 5)])
    console.deployed.drain()
    plan = posted(console, "/actions/purge/plan", {"status": "finished", "older_than": "1d"})
    assert "1 row would change." in plan.text
    assert posted(console, "/actions/purge/apply", hidden(plan)).code == 303
    assert console.deployed.query("SELECT count(*) FROM jobs WHERE status = 'finished'") == [(0,)]
    plan = posted(console, "/actions/offsets-reset/plan", {"to": "now"})
    assert posted(console, "/actions/offsets-reset/apply", hidden(plan)).code == 303
    actions = [entry["action"] for entry in console.get("/api/audit").json["entries"]]
    assert actions[:2] == ["offsets reset", "purge"]


def test_a_replay_brings_back_a_row_as_a_form_and_as_json(console: Console) -> None:
    console.deployed.produce_events([event("lost", "success", 8), event(ODD, "success", 9)])
    console.deployed.drain()
    console.deployed.query("DELETE FROM jobs WHERE job_id IN ('lost', %s)", ODD)
    page = posted(console, "/actions/replay/plan", {"from": "beginning", "job_id": "lost", "existing_only": ""})
    assert "1 row would change." in page.text
    assert "'lost': new row" in unescape(page.text)
    assert posted(console, "/actions/replay/apply", hidden(page)).code == 303
    assert console.deployed.query("SELECT status FROM jobs WHERE job_id = 'lost'") == [("success",)]
    plan = sent(console, "/api/actions/replay/plan", {"from": "beginning"})
    assert (plan.code, plan.json["unit"], "s3cret" in plan.text) == (200, "row", False)
    done = sent(console, "/api/actions/replay/apply", {**plan.json["request"], "digest": plan.json["digest"]})
    assert (done.code, done.json["result"]["complete"]) == (200, True)
    assert console.deployed.query("SELECT count(*) FROM jobs WHERE job_id = %s", ODD) == [(1,)]
    (entry, *_) = console.get("/api/audit").json["entries"]
    assert (entry["action"], entry["outcome"], entry["plan"]["changes"]) == ("replay", "done", plan.json["changes"])
    assert sent(console, "/api/actions/replay/plan", {"job_id": "none such"}).code == 400
    assert sent(console, "/api/actions/replay/plan", {"from": "rubbish"}).code == 400


def test_a_replay_that_is_too_long_for_a_request_is_refused_with_the_command(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    console.deployed.produce_events([event("long", "success", 10), event("long", "error", 11)])
    monkeypatch.setattr(replaying, "MOST_OFFSETS", 1)
    refused = sent(console, "/api/actions/replay/plan", {"from": "beginning", "status": "success"})
    assert refused.code == 409
    assert "type: jobstatus replay --from beginning --to now --status success" in refused.json["error"]


def test_a_group_with_members_is_not_moved(console: Console) -> None:
    consumer = console.deployed.consumer()
    until(lambda: console.get("/api/overview").json["members"], "the group has a member")
    refused = sent(console, "/api/actions/offsets-reset/plan", {"to": "beginning"})
    assert refused.code == 409
    assert "Stop every consumer of the group first; nothing was changed" in refused.json["error"]
    consumer.stop()
    until(lambda: console.get("/api/overview").json["members"] == [], "the group is empty")


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("plan", {"Origin": "http://evil.example"}, 403),
        ("apply", {"Origin": "http://evil.example"}, 403),
        ("plan", {"Origin": "null"}, 403),
        ("plan", {"Origin": ""}, 403),
        ("plan", {"Sec_Fetch_Site": "cross-site"}, 403),
        ("apply", {"Host": "evil.example"}, 403),
    ],
)
def test_a_page_of_another_site_changes_nothing(
    console: Console, path: str, headers: dict[str, str], code: int
) -> None:
    given = {"status": "error", "older_than": "1d", "digest": "x"}
    assert posted(console, f"/actions/purge/{path}", given, **headers).code == code
    assert posted(console, f"/api/actions/purge/{path}", given, **headers).code == code


def test_a_request_without_any_origin_needs_the_token(console: Console, shown: Deployment) -> None:
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    assert console.ask("POST", "/actions/redrive/plan", "", form).code == 403
    token = "a-token-of-some-length"
    with running_console(shown, Options(allow_actions=True), console_token=token) as own:
        assert own.ask("POST", "/api/actions/redrive/plan", "{}", {"Content_Type": "application/json"}).code == 401
        bearer = {"Content_Type": "application/json", "Authorization": f"Bearer {token}"}
        assert own.ask("POST", "/api/actions/redrive/plan", "{}", bearer).code == 200


def test_a_get_changes_nothing_and_without_the_flag_nothing_can_be_changed(console: Console, shown: Deployment) -> None:
    assert console.get("/actions").code == 200
    assert console.get("/actions/redrive/plan").code == 405
    assert console.get("/actions/redrive/apply").code == 405
    with running_console(shown) as own:
        assert own.get("/actions").code == 403
        assert posted(own, "/actions/redrive/plan", {}).code == 403
        refused = sent(own, "/api/actions/redrive/apply", {"digest": "x"})
        assert (refused.code, "--allow-actions" in refused.json["error"]) == (403, True)
        assert own.get("/audit").code == 200


@pytest.mark.parametrize(
    ("name", "body", "kind", "code"),
    [
        ("redrive", b"\xff\xfe{", "application/json", 400),
        ("redrive", b"[1]", "application/json", 400),
        ("redrive", b'{"stage": 1}', "application/json", 400),
        ("redrive", b"\xff=\xfe", "application/x-www-form-urlencoded", 400),
        ("redrive", b"&".join(b"f%d=1" % n for n in range(100)), "application/x-www-form-urlencoded", 400),
        ("redrive", b"stage=%00", "application/x-www-form-urlencoded", 400),
        ("redrive", b"job_id=" + b"x" * 513, "application/x-www-form-urlencoded", 400),
        ("redrive", b"x" * 70_000, "application/x-www-form-urlencoded", 413),
        ("purge", b"status=a&older_than=NaN", "application/x-www-form-urlencoded", 400),
        ("drop", b"", "application/x-www-form-urlencoded", 404),
    ],
)
def test_rubbish_is_refused(console: Console, name: str, body: bytes, kind: str, code: int) -> None:
    headers = {"Content_Type": kind, "Origin": console.url}
    found = console.ask("POST", f"/api/actions/{name}/plan", body.decode("latin-1"), headers)
    assert found.code == code
    assert console.ask("POST", f"/api/actions/{name}/apply", body.decode("latin-1"), headers).code in (400, 404, 413)
    assert console.get("/api/audit?before=x").code == 400


def test_without_the_audit_log_nothing_is_changed_and_the_page_says_why(shown: Deployment) -> None:
    shown.query("ALTER TABLE jobs_audit RENAME TO hidden_audit")
    try:
        with running_console(shown, Options(allow_actions=True)) as own:
            assert "The audit log cannot be read" in own.get("/audit").text
            plan = sent(own, "/api/actions/redrive/plan", {}).json
            refused = sent(own, "/api/actions/redrive/apply", {**plan["request"], "digest": plan["digest"]})
            assert (refused.code, "there is no table jobs_audit" in refused.json["error"]) == (503, True)
    finally:
        shown.query("ALTER TABLE hidden_audit RENAME TO jobs_audit")


def test_an_action_of_a_console_that_is_killed_is_noted_as_begun_and_not_as_ended(
    shown: Deployment, tmp_path: Path
) -> None:
    """What an operator does then is in docs/how-to/change-from-the-console.md: the same again."""
    shown.produce_events([event("a", "success", 1)])
    shown.drain()
    asked = {"status": "success", "older_than": "1s"}
    with console_process(shown, tmp_path / "console.log", "--allow-actions") as console, locked(shown):
        assert isinstance(console.server, Listening)
        until(lambda: answers(console), "it answers")
        plan = sent(console, "/api/actions/purge/plan", asked).json
        applying = threading.Thread(target=applied_in_vain, args=(console, plan))
        applying.start()
        until(lambda: shown.query("SELECT 1 FROM jobs_audit"), "it has begun")
        console.server.process.kill()
        applying.join()
    with running_console(shown, Options(allow_actions=True)) as console:
        (killed,) = console.get("/api/audit").json["entries"]
        assert (killed["action"], killed["finished_at"], killed["outcome"]) == ("purge", None, None)
        assert "running, or killed" in console.get("/audit").text
        plan = sent(console, "/api/actions/purge/plan", asked).json
        assert plan["changes"] == 1, "the row is still there"
        answer = sent(console, "/api/actions/purge/apply", {**plan["request"], "digest": plan["digest"]})
        assert answer.json["result"]["purged"] == 1
        again, before = console.get("/api/audit").json["entries"]
        assert (again["outcome"], before) == ("done", killed)


def answers(console: Console) -> bool:
    try:
        return console.get("/api/audit").code == 200
    except OSError:
        return False


def applied_in_vain(console: Console, plan: dict[str, Any]) -> None:
    with suppress(OSError, http.client.HTTPException):
        sent(console, "/api/actions/purge/apply", {**plan["request"], "digest": plan["digest"]})
