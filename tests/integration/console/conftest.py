"""One console for all tests of this folder: over one deployment, on the session's broker and database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from jobstatus_consumer.console import Options
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.postgres import LocalPostgres
from playwright.sync_api import Browser, expect, sync_playwright
from support.chromium import FLAGS, environment, executable
from support.console import PATIENCE, Console, be_patient, running_console, shown_deployment
from support.console_scene import DEADLINES, odd, set_scene
from support.deployment import Deployment
from support.waiting import until


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """How soon a page comes is the matter of test_unavailable.py alone."""
    be_patient(monkeypatch)


@pytest.fixture(scope="package")
def shown(kafka: LocalKafka, postgres: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The deployment that the console shows."""
    with shown_deployment(kafka, postgres, tmp_path_factory) as found:
        yield found


@pytest.fixture(scope="package")
def console(shown: Deployment) -> Iterator[Console]:
    """A console over `shown`, which needs no log-in."""
    options = Options(show_values=True, allow_actions=True, verify_every=5)
    with running_console(shown, options, deadlines=DEADLINES) as found:
        yield found


@pytest.fixture(scope="package")
def scene(console: Console) -> None:
    """Jobs, dead letters and stuck jobs, all written and seen by the console."""
    console.deployed.produce_events(odd())
    set_scene(console.deployed, jobs=80)
    until(lambda: console.get("/api/overview").json["lag"] == 0, "the console sees what is written")
    until(lambda: console.get("/api/dead-letters").json.get("open", 0) >= 4, "it has read the dead letters")
    until(lambda: console.get("/api/stuck").json.get("jobs"), "it has read the overdue jobs")
    until(lambda: "success" in (console.get("/api/overview").json["rows"] or {}), "it has counted the rows")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium. No test beside it may run an event loop in the main thread: Playwright has one there."""
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=executable(), args=list(FLAGS), env=dict(environment()))
        yield found
        found.close()
