"""The overview of a real console, over a real broker and a real database."""

from __future__ import annotations

from support.console import Console
from support.deployment import made_events
from support.waiting import until


def test_the_overview_shows_what_is_written_and_what_is_not(console: Console) -> None:
    console.deployed.produce_events(made_events(200, 20))
    until(lambda: console.get("/api/overview").json["lag"] == 200, "the console sees the events")
    console.deployed.drain()
    until(lambda: console.get("/api/overview").json["lag"] == 0, "the console sees the write")
    found = console.get("/api/overview").json
    for item in found["partitions"]:
        assert item["table"] == item["committed"] == item["high"]
    assert found["stale"] == []
    assert found["true_at"] is not None


def test_the_page_works_without_javascript(console: Console) -> None:
    page = console.get("/")
    assert page.code == 200
    assert page.headers["content-security-policy"].startswith("default-src 'self';")
    assert "Last true at" in page.text or "for the first time" in page.text
