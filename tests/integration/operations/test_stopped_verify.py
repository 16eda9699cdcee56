"""Verify and repair that are stopped, or find more than they name."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from jobstatus_consumer.operations import findings, repair
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import RowRepair, Table
from support.deployment import Deployment, made_events
from support.inside import run_inside

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


@pytest.fixture
def bogus(deployed: Deployment) -> Deployment:
    """A table in which each of 40 rows differs."""
    deployed.produce_events(made_events(400, 40))
    deployed.drain()
    deployed.query("UPDATE jobs SET worker_id = 'by hand'")
    return deployed


def left(deployed: Deployment) -> int:
    ((count,),) = deployed.query("SELECT count(*) FROM jobs WHERE worker_id = 'by hand'")
    return int(count)


def stopping_after(monkeypatch: pytest.MonkeyPatch, where: type, name: str) -> None:
    """One signal comes when this is called for the first time; a second would end the process."""
    original = getattr(where, name)
    signals = iter([signal.SIGINT])

    def call(self: Any, given: Sequence[Event | RowRepair]) -> Any:
        done = original(self, given)
        for number in signals:
            os.kill(os.getpid(), number)
        return done

    monkeypatch.setattr(where, name, call)


def test_a_stopped_repair_says_how_many_rows_it_has_set_and_the_next_one_goes_on(
    bogus: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[repair.__module__], "AT_ONCE", 10)
    for set_before, as_json in ((0, False), (10, True)):
        with monkeypatch.context() as patch:
            stopping_after(patch, Table, "repair_rows")
            done = run_inside(bogus, "verify", "--repair", *["--json"] * as_json, code=1)
        assert left(bogus) == 30 - set_before
        assert "stopped; 10 rows were set" in done.stderr
        assert "verify --repair goes on" in done.stderr
        if as_json:
            told = json.loads(done.stdout)
            assert (told["complete"], told["rows_set"], told["different"]) == (False, 10, 30)
        else:
            assert "NOT complete" in done.stdout
    assert json.loads(run_inside(bogus, "verify", "--repair", "--json").stdout)["mended"] == 20
    bogus.assert_exact()


def test_a_stopped_verify_shows_what_it_found_until_then(bogus: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stopping_after(patch, Table, "differing")
        done = run_inside(bogus, "verify", code=1)
    assert "NOT complete" in done.stdout
    assert "the table says" not in done.stdout
    assert "nothing is known of the rest" in done.stderr
    stopping_after(monkeypatch, Table, "differing")
    told = json.loads(run_inside(bogus, "verify", "--json", "--repair", code=1).stdout)
    assert told["complete"] is False
    assert left(bogus) == 40, "what is not known whole is not mended"


def test_more_than_is_named_is_counted_and_mended_in_rounds(bogus: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "NAMED", 15)
    bogus.query("DELETE FROM jobs WHERE job_id IN ('job-1', 'job-2')")
    told = json.loads(run_inside(bogus, "verify", "--json", code=1).stdout)
    assert (told["missing"], told["different"], len(told["findings"]), told["not_named"]) == (2, 38, 15, 25)
    assert "and 20 more; --json names 15" in run_inside(bogus, "verify", code=1).stdout
    told = json.loads(run_inside(bogus, "verify", "--repair", "--json").stdout)
    assert (told["mended"], told["not_mended"], told["rows_set"]) == (40, [], 38)
    bogus.assert_exact()


def test_rounds_end_where_nothing_moves(bogus: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "NAMED", 15)
    bogus.query("ALTER TABLE jobs ADD CONSTRAINT no CHECK (worker_id = 'by hand')")
    told = json.loads(run_inside(bogus, "verify", "--repair", "--json", code=1).stdout)
    assert (told["mended"], told["rows_set"], len(told["refused"]["rows"])) == (0, 0, 15)
