"""The overview of a real console, over a real broker and a real database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.postgres import LocalPostgres
from support.console import Console, running_console, shown_deployment
from support.deployment import made_events
from support.waiting import until


@pytest.fixture
def console(kafka: LocalKafka, postgres: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Over a deployment of the test's own: it compares whole topics."""
    with shown_deployment(kafka, postgres, tmp_path_factory) as shown, running_console(shown) as found:
        yield found


def unless_stale(console: Console) -> Any:
    """The overview; None while it is stale."""
    found = console.get("/api/overview").json
    return None if found["stale"] else found


def is_even(partition: dict[str, int | None]) -> bool:
    return partition["table"] == partition["committed"] == partition["high"]


def test_the_overview_shows_what_is_written_and_what_is_not(console: Console) -> None:
    console.deployed.produce_events(made_events(200, 20))
    until(lambda: console.get("/api/overview").json["lag"] == 200, "the console sees the events")
    console.deployed.drain()
    until(lambda: console.get("/api/overview").json["lag"] == 0, "the console sees the write")
    # the broker and the database are asked one after the other
    until(lambda: all(is_even(item) for item in console.get("/api/overview").json["partitions"]), "it sees the commits")
    found = until(lambda: unless_stale(console), "nothing is stale")
    assert found["true_at"] is not None


def test_the_page_works_without_javascript(console: Console) -> None:
    page = console.get("/")
    assert page.code == 200
    assert page.headers["content-security-policy"].startswith("default-src 'self';")
    assert "Last true at" in page.text or "for the first time" in page.text
