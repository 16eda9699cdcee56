"""The pages in a real Chromium: what moves, what is filtered, how they look and how they are used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from unittest import mock
from urllib.parse import quote

import pytest
from jobstatus_consumer.console.pages import jobs
from jobstatus_consumer.store.queries import blocks
from playwright.sync_api import Browser, Dialog, Page, expect
from support.chromium import axe
from support.console import PATIENCE, Console
from support.console_scene import DEADLINES, NASTY, STORY, WIDE, event
from support.waiting import until

PAGES = ("/", "/jobs", f"/jobs/{STORY}", "/stuck", "/dead-letters", "/consumers", "/verify", "/audit", "/actions")
pytestmark = pytest.mark.usefixtures("scene")


@pytest.fixture(autouse=True)
def searches_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that takes longer shows what it has found so far, and goes on at a click."""
    monkeypatch.setattr(jobs, "SEARCH_SECONDS", PATIENCE)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails its test at an error of the script or a refusal of the CSP."""
    troubles: list[str] = []
    found = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-US")
    found.on("pageerror", lambda error: troubles.append(str(error)))
    found.on("console", lambda line: troubles.append(line.text) if line.type == "error" else None)
    found.on("dialog", lambda dialog: _note(troubles, dialog))
    yield found
    found.close()
    assert troubles == []


def test_a_commit_is_seen_on_the_page(console: Console, page: Page) -> None:
    """It takes two seconds at most: tests/unit/consumer/console/test_promptness.py, whatever else this machine does."""
    page.goto(console.url)
    ends = page.locator("#live section", has_text="Partitions").locator("tbody tr td:nth-child(4)")
    before = sum(console.deployed.ends().values())
    until(lambda: sum(map(_number, ends.all_inner_texts())) == before, "the page shows what is there")
    console.deployed.produce_events([event("seen-at-once", "success", 0)])
    until(lambda: sum(map(_number, ends.all_inner_texts())) == before + 1, "the page shows the event")
    unwritten = page.locator(".figures div", has_text="Unwritten events").locator("dd")
    expect(unwritten).to_have_text("1")
    console.deployed.drain()
    expect(unwritten).to_have_text("0")


def test_the_stream_keeps_the_focus_and_draws_charts(console: Console, page: Page) -> None:
    page.goto(console.url)
    link = page.locator("#live table a").first
    link.focus()
    stamp = page.locator(".true-at time").inner_text()
    until(lambda: page.locator(".true-at time").inner_text() != stamp, "the page moves")
    expect(link).to_be_focused()
    expect(page.locator(".uplot canvas")).to_have_count(2)


def test_filters_are_in_the_address_and_narrow_the_list(console: Console, page: Page) -> None:
    page.goto(f"{console.url}/jobs")
    page.select_option("select[name=status]", "error")
    page.fill("input[name=text]", "TIMEOUT")
    page.click("form.filters button")
    assert "status=error" in page.url
    assert "text=TIMEOUT" in page.url
    rows = page.locator("tbody tr")
    assert rows.count() > 0
    for text in rows.all_inner_texts():
        assert "error" in text
        assert "TimeoutError" in text


@pytest.mark.parametrize("query", ["order=newest", "order=id", "order=id&silent=1s"])
def test_paging_shows_every_job_once(console: Console, page: Page, query: str) -> None:
    page.goto(f"{console.url}/jobs?{query}")
    seen: list[str] = []
    while True:
        seen += [str(link.get_attribute("href")) for link in page.locator("tbody th a").all()]
        following = page.locator("a[rel=next]")
        if following.count() == 0:
            break
        following.click()
    # another program's row may have no time, or an infinite one: it is in the list by job id alone
    which = "" if query == "order=id" else " WHERE isfinite(latest_occurred_at)"
    ((total,),) = console.deployed.query(f"SELECT count(*) FROM jobs{which}")
    assert len(seen) == len(set(seen)) == total


@pytest.mark.parametrize("query", ["within=soon", "order=sideways", "latest=x", "worker=%00"])
def test_a_filter_that_means_nothing_says_what_is_allowed(console: Console, query: str) -> None:
    found = console.get(f"/jobs?{query}")
    assert found.code == 200
    assert "The list is not shown" in found.text
    answer = console.get(f"/api/jobs?{query}")
    assert answer.code == 400
    assert answer.json["error"]


def test_from_the_list_to_a_job_by_keyboard(console: Console, page: Page) -> None:
    page.goto(f"{console.url}/jobs?text=no+answer&status=error")
    page.locator("tbody th a").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("h2", has_text="Timeline")).to_be_visible()
    expect(page.locator(".is-shown")).to_have_count(1)


def test_a_job_by_its_id(console: Console, page: Page) -> None:
    page.goto(f"{console.url}/jobs")
    page.fill("#goto", f"/{WIDE}/")
    page.press("#goto", "Enter")
    expect(page.locator("h1")).to_have_text(f"/{WIDE}/")


def test_dead_letters_by_cause_and_one_with_its_bytes(console: Console, page: Page) -> None:
    page.goto(f"{console.url}/dead-letters")
    expect(page.locator("h2", has_text="not_avro_single_object")).to_be_visible()
    page.locator("section", has_text="not_avro_single_object").locator("tbody a").first.click()
    expect(page.locator("pre")).to_have_text(b"not avro".hex(" "))


def test_stuck_lists_what_has_been_silent_longest_first(console: Console, page: Page) -> None:
    page.goto(f"{console.url}/stuck")
    expect(page.locator("tbody tr").first).to_contain_text("import-2026-10-0003")
    assert json.loads(console.get("/api/stuck").text)["deadlines"] == DEADLINES


def test_verify_has_compared_the_table(console: Console, page: Page) -> None:
    # the comparison before may be from the middle of another test
    until(lambda: console.get("/api/verify").json["right"], "the table is compared as it is now")
    page.goto(f"{console.url}/verify")
    expect(page.locator("main")).to_contain_text("Row = log")


def test_a_redrive_from_the_plan_to_done(console: Console, page: Page) -> None:
    console.deployed.produce_events([event("redriven", "archived", 1)])
    console.deployed.drain(JOBSTATUS_STATUSES="pending,processing,success,error")
    page.goto(f"{console.url}/actions")
    form = page.locator("form[action='/actions/redrive/plan']")
    form.locator("textarea").fill("redriven")
    form.locator("button").click()
    expect(page.locator("main")).to_contain_text("1 event would change")
    assert console.get("/api/jobs/redriven").code == 404
    page.get_by_role("button", name="Apply exactly this").click()
    expect(page.locator("h1")).to_have_text("Audit")
    until(lambda: console.get("/api/jobs/redriven").code == 200, "the row is there")
    until(
        lambda: console.get("/api/audit").json["entries"][0]["outcome"] == "done", "the audit log says that it is done"
    )
    page.reload()
    expect(page.locator("tbody tr").first).to_contain_text("✓ done")
    expect(page.locator("tbody tr").first).to_contain_text("redrive")


def test_nothing_in_a_field_is_executed_or_breaks_the_page(console: Console, page: Page) -> None:
    for path in (f"/jobs/{quote(f'nasty/{NASTY}', safe='')}", f"/jobs?worker={quote(f'w {NASTY}')}"):
        page.goto(console.url + path)
        assert page.locator("img").count() == 0
        text = page.locator("main").inner_text()
        assert "<img src=x onerror=alert(1)>" in text
        assert "\\u202egnp.exe" in text
        assert "\\x1b[31m" in text
        assert not set(text) & set("\u202e\u202c\u200f\x1b")


def test_ten_thousand_statuses_are_offered_by_typing(console: Console, page: Page) -> None:
    deployed = console.deployed
    deployed.query(
        "INSERT INTO jobs (job_id, status, latest_occurred_at)"
        " SELECT 'status-' || n, 'status-' || n || repeat('x', 50), now() - interval '9 days'"
        " FROM generate_series(1, 10000) n"
    )
    try:
        until(lambda: len(console.get("/api/overview").json["rows"]) > 10_000, "they are counted")
        assert all(len(console.get(path).body) < 100_000 for path in PAGES)
        page.goto(f"{console.url}/jobs")
        page.fill("input[name=status]", "status-77" + "x" * 50)
        page.click("form.filters button")
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page.locator("tbody tr")).to_contain_text("status-77x")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    finally:
        deployed.query("DELETE FROM jobs WHERE starts_with(job_id, 'status-')")
        until(lambda: len(console.get("/api/overview").json["rows"]) < 100, "they are gone")


@pytest.mark.parametrize(("seconds", "words"), [(7200.0, "1h 59m behind"), (-7200.0, "1h 59m ahead of")])
def test_a_clock_that_is_off_is_named(console: Console, seconds: float, words: str) -> None:
    """The machine's clock cannot be set here, so the database's answer is another one."""
    shifted = f"SELECT extract(epoch FROM clock_timestamp())::double precision + {seconds}"
    with mock.patch.dict(blocks("overview.sql"), clock=shifted):
        until(lambda: words in console.get("/").text, "the page says which clock differs, and by how much")
        assert abs(console.get("/api/overview").json["database_clock_ahead_seconds"] - seconds) < 60
    until(lambda: words not in console.get("/").text, "the note is gone")


@pytest.mark.parametrize("path", [*PAGES, f"/jobs/{quote(f'nasty/{NASTY}', safe='')}"])
def test_a_phone_shows_a_page_without_scrolling_sideways(console: Console, page: Page, path: str) -> None:
    page.set_viewport_size({"width": 375, "height": 800})
    page.goto(console.url + path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


@pytest.mark.parametrize(("scheme", "rules"), [("light", ""), ("dark", "runOnly: ['color-contrast'], ")])
def test_axe_finds_no_serious_fault(console: Console, browser: Browser, scheme: str, rules: str) -> None:
    """The second scheme differs in its colours alone."""
    found = browser.new_page(
        color_scheme="dark" if scheme == "dark" else "light", locale="en-US", bypass_csp=True, reduced_motion="reduce"
    )
    try:
        faults = [fault for path in PAGES for fault in _faults(found, console.url, path, rules)]
    finally:
        found.close()
    assert faults == []


def test_a_page_works_without_javascript(console: Console, browser: Browser) -> None:
    page = browser.new_page(java_script_enabled=False, locale="en-US")
    try:
        page.goto(f"{console.url}/jobs")
        page.select_option("select[name=status]", "success")
        page.click("form.filters button")
        assert "status=success" in page.url
        assert page.locator("tbody tr").count() > 0
        page.goto(console.url)
        expect(page.locator(".no-chart")).to_be_visible()
    finally:
        page.close()


def _note(troubles: list[str], dialog: Dialog) -> None:
    troubles.append(f"a dialog: {dialog.message}")
    dialog.dismiss()


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _faults(page: Page, url: str, path: str, rules: str) -> list[str]:
    page.goto(url + path)
    page.add_script_tag(content=axe())
    found = page.evaluate(f"axe.run({{{rules}resultTypes: ['violations']}})")
    return [
        f"{path}: {item['id']}: {item['nodes'][0]['target']}: {item['nodes'][0]['failureSummary']}"
        for item in found["violations"]
        if item["impact"] in ("serious", "critical")
    ]
