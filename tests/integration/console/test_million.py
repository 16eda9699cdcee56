"""A table of a million rows: each page comes quickly, whatever is filtered. `make bench ARGS=console` measures it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from unittest import mock

import pytest
from jobstatus_consumer.console import live
from support.console import Console, running_console
from support.console_scene import DEADLINES
from support.deployment import Deployment
from support.inside import run_inside
from support.million import MILLION, ONLY, fill
from support.waiting import assert_quick, until

BOUND = 1.0
"""Seconds. On a quiet machine each takes less than 0.3."""
PAGES = (
    "/",
    "/jobs",
    "/jobs?after=job-0500000",
    "/jobs?status=error",
    "/jobs?text=no+such+text&order=id",
    "/jobs?worker=worker-3&order=id&silent=1s",
    "/jobs/job-0999999",
    "/stuck",
    "/consumers",
    "/api/jobs?status=success",
)


@pytest.fixture(scope="module")
def large(shown: Deployment) -> Iterator[Console]:
    """A console over a table with a million rows, beside the one of the other tests."""
    deployed = replace(shown, table="large", consumers=[])
    run_inside(deployed, "migrate")
    fill(deployed.database_url, deployed.table)
    with running_console(deployed, deadlines=DEADLINES) as console:
        until(lambda: console.get("/api/overview").json["rows_estimated"], "the rows are counted", timeout=120)
        yield console
    deployed.query("DROP TABLE large, large_progress, large_purged")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_of_a_million_rows_comes_quickly(large: Console, path: str) -> None:
    def seconds() -> float:
        started = time.monotonic()
        answer = large.get(path)
        assert answer.code == 200, answer.text
        return time.monotonic() - started

    assert_quick(BOUND, path, seconds)


def test_a_search_goes_on_where_it_ended(large: Console) -> None:
    found = large.get("/api/jobs?text=the+only+one&order=id").json
    looked = 1
    while not found["jobs"]:
        assert found["searched"] > 0
        found = large.get(found["next"]).json
        looked += 1
        assert looked < 60
    assert [job["job_id"] for job in found["jobs"]] == [ONLY]


def test_a_table_that_is_too_large_to_be_counted_is_estimated(large: Console) -> None:
    with mock.patch.object(live, "COUNTED_UP_TO", 1000), running_console(large.deployed) as console:
        until(lambda: console.get("/api/overview").json["rows"], "the rows are estimated")
        found = console.get("/api/overview").json
        assert found["rows_exact"] is False
        assert abs(found["rows"]["success"] - MILLION * 3 / 5) < MILLION / 20
        assert "about 1," in console.get("/jobs").text or "about 9" in console.get("/jobs").text


def test_the_number_of_rows_is_the_tables(large: Console) -> None:
    found = large.get("/api/overview").json
    assert sum(found["rows"].values()) == MILLION
    assert abs(found["rows_estimated"] - MILLION) < MILLION / 10
