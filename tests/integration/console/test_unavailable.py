"""What the console shows while Kafka or the database is unavailable, and that it goes on by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import pytest
from jobstatus_consumer.console import live
from jobstatus_local.postgres import LocalPostgres
from jobstatus_local.proxy import TcpProxy
from support.breakable import Breakable
from support.console import Console, console_process, running_console
from support.console_scene import STORY, story
from support.deployment import Deployment, deployment
from support.waiting import assert_quick, until

PAGES = ("/", "/jobs", f"/jobs/{STORY}", "/stuck", "/dead-letters", "/consumers", "/verify")
SOON = 2.0
LOADED = 4.0
"""Seconds beyond `SOON` that other programs on this machine may cost."""


@pytest.fixture(autouse=True)
def patience() -> None:
    """The limits of the pages are as a user has them."""


def assert_each_page_comes_soon(console: Console) -> None:
    for path in PAGES:
        assert_quick(SOON + LOADED, path, partial(seconds_of, console, path))


def seconds_of(console: Console, path: str) -> float:
    started = time.monotonic()
    page = console.get(path)
    assert page.code in (200, 503), path
    return time.monotonic() - started


def known(console: Console) -> bool:
    try:
        found = console.get("/api/overview").json
    except OSError:
        return False  # it starts
    return found["true_at"] is not None and found["stale"] == [] and found["rows"] is not None


def stale(console: Console) -> list[str]:
    found: list[str] = console.get("/api/overview").json["stale"]
    return found


def stale_page(console: Console) -> str:
    page = console.get("/").text
    return page if "Stale: no answer of the database." in page else ""


@pytest.mark.parametrize("fault", [TcpProxy.refuse, TcpProxy.deaf], ids=["refused", "silent"])
def test_without_the_database(shown: Deployment, postgres: LocalPostgres, fault: Callable[[TcpProxy], None]) -> None:
    with (
        mock.patch.object(live, "STALE_AFTER", 1.5),
        TcpProxy(postgres.port) as proxy,
        running_console(shown, database_url=proxy.through(shown.database_url)) as console,
    ):
        until(lambda: known(console), "the console knows everything")
        before = console.get("/api/overview").json
        fault(proxy)
        if fault is TcpProxy.refuse:
            proxy.cut()
        until(lambda: stale(console) == ["the database"], "the database is called stale")
        assert_each_page_comes_soon(console)
        # Kafka's half may be late for a moment, too
        page = until(lambda: stale_page(console), "the page says which half is stale")
        assert "was last true at" in page
        assert console.get("/api/overview").json["rows"] == before["rows"]
        assert "The list is not shown" in console.get("/jobs").text
        proxy.heal()
        until(lambda: stale(console) == [], "the console goes on")
        until(lambda: console.get("/jobs").code == 200 and "not shown" not in console.get("/jobs").text, "jobs, too")


def test_without_kafka(breakable: Breakable, postgres: LocalPostgres, tmp_path: Path) -> None:
    """A broker that was stopped: the row is shown without its log; and a new client finds the broker again."""
    url = postgres.create_database(f"console_kafka_{tmp_path.name.replace('-', '_')[-40:].lower()}")
    with (
        deployment(breakable.kafka.bootstrap_servers, url, tmp_path) as deployed,
        console_process(deployed, tmp_path / "console.log") as console,
    ):
        deployed.produce_events(story())
        deployed.drain()
        until(lambda: known(console), "the console knows everything")
        until(lambda: "the row shows this one" in console.get(f"/jobs/{STORY}").text, "the log was read in time")
        breakable.proxy.refuse()
        breakable.proxy.cut()
        until(lambda: stale(console) == ["Kafka"], "Kafka is called stale")
        assert_each_page_comes_soon(console)
        page = console.get(f"/jobs/{STORY}")
        assert page.code == 200
        assert "The log was not read" in page.text
        assert "worker-11" in page.text
        breakable.proxy.heal()
        until(lambda: stale(console) == [], "the console goes on")
        until(lambda: "the row shows this one" in console.get(f"/jobs/{STORY}").text, "the log is read again")
