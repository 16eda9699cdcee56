"""`jobstatus target sync`: the rows of a target that do not show their states."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from integration.store.target.conftest import MakeOwn
from jobstatus_consumer.operations import target as walking
from law.events import event
from support.own_table import JOBS, STATE, TARGET, OwnTable
from support.target_commands import command, document

pytestmark = pytest.mark.postgres

UNUSUAL = """
CREATE TABLE jobs (
  id bigint PRIMARY KEY, status varchar(20) NOT NULL DEFAULT 'new', cost numeric(8, 2), at timestamp(0), seen json,
  updated_at timestamptz NOT NULL DEFAULT now()
)
"""
UNUSUAL_TARGET = """
table = "jobs"
[key]
id = "nullif(event.job_id, 'not ours')"
[set]
status = "event.status"
cost = "1.005 -- not %s"
at = "event.occurred_at AT TIME ZONE 'UTC' + interval '0.4 s'"
seen = "json_build_object('status', event.status)"
updated_at = "now()"
"""


def write(own: OwnTable, *jobs: int, status: str = "success") -> None:
    for job in jobs:
        own.run(f"INSERT INTO jobs (id) VALUES ({job}) ON CONFLICT DO NOTHING")
    own.write(*(event(str(job), job, status=status) for job in jobs))


def test_a_target_that_was_restored_alone_is_mended_by_the_consumer(own: OwnTable) -> None:
    write(own, 1, 2, 3, 4)
    own.run("UPDATE jobs SET status = 'new', error_message = 'old' WHERE id IN (1, 3)")
    own.run("UPDATE jobs SET status = 'cancelled' WHERE id = 2")
    own.run("DELETE FROM jobs WHERE id = 4")

    looked = document(own, "target", "sync", "--dry-run")
    assert (looked["different"], looked["parked"], looked["states"], own.waiting()) == (2, 0, 4, {})
    assert looked["explained"] == {"waiting": 0, "not_ours": 0, "held_by_where": 1, "no_row": 1}
    assert looked["findings"][0] == {
        "job_id": "1",
        "kind": "different",
        "columns": ["status", "error_message"],
        "why": "",
    }
    assert command(own, "target", "sync").stdout.splitlines() == [
        "4 states of jobs_status compared with jobs",
        "jobs: 2 rows differ from the state: 2 different",
        "  1: differs in status, error_message",
        "  3: differs in status, error_message",
        "these are no differences: 1 kept as they are by where, 1 without a row",
        "2 more jobs wait for a consumer to write their rows; see jobstatus status",
    ]
    assert own.waiting() == {"1": "changed", "3": "changed"}
    assert document(own, "target", "sync")["explained"]["waiting"] == 2

    own.settle()

    assert [own.value("status", job) for job in (1, 2, 3)] == ["done", "cancelled", "done"]
    assert "jobs: no row differs from its state" in command(own, "target", "sync").stdout


def test_values_are_compared_as_the_column_stores_them_and_the_clock_is_not(make_own: MakeOwn) -> None:
    own = make_own(UNUSUAL, UNUSUAL_TARGET)
    write(own, 1)
    assert document(own, "target", "sync")["different"] == 0
    own.run("UPDATE jobs SET cost = 2, seen = '{}', at = at + interval '1 s', updated_at = 'epoch'")
    (found,) = document(own, "target", "sync")["findings"]
    assert found["columns"] == ["cost", "at", "seen"]


def test_states_are_compared_in_pages_and_one_that_cannot_be_evaluated_stops_none(
    make_own: MakeOwn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "PAGE", 3)
    own = make_own(JOBS, TARGET.replace('"event.job_id"', "\"nullif(event.job_id, 'not ours')\""))
    write(own, *range(1, 9))
    own.run("UPDATE jobs SET status = 'new'")
    # states that were written before there was a target
    values = "('12x', 'success'), ('not ours', 'success'), ('5', 'lost')"
    own.run(f"INSERT INTO {STATE} (job_id, status) VALUES {values} ON CONFLICT (job_id) DO UPDATE SET status = 'lost'")

    found = document(own, "target", "sync")

    assert (found["states"], found["different"], found["refused"], found["parked"]) == (10, 7, 2, 8)
    assert found["explained"] == {"waiting": 0, "not_ours": 1, "held_by_where": 0, "no_row": 0}
    refused = {item["job_id"]: item["why"] for item in found["findings"] if item["kind"] == "refused"}
    assert refused == dict.fromkeys(("12x", "5"), "InvalidTextRepresentation (22P02)")
    # a key stays what it is; a word may come to be known
    assert "12x" not in own.waiting()
    own.run("ALTER TYPE job_status ADD VALUE 'lost'")
    own.settle()
    assert (own.value("status", 5), own.waiting()) == ("lost", {})


def test_rows_that_insert_should_have_made_are_made_again(make_own: MakeOwn) -> None:
    own = make_own(target='missing = "insert"\n' + TARGET)
    own.write(event("17", 0))
    own.run("DELETE FROM jobs")
    found = document(own, "target", "sync")
    assert (found["missing"], found["different"], found["parked"]) == (1, 0, 1)
    own.settle()
    assert own.value("status") == "running"


def test_a_sync_goes_on_as_a_consumer_settles_and_ends_where_none_does(
    own: OwnTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PAGE", 5), ("LOOK_EVERY", 0.01), ("PATIENCE", 0.1)):
        monkeypatch.setattr(walking, name, value)
    write(own, *range(1, 60))
    own.run("UPDATE jobs SET status = 'new'")

    failed = command(own, "target", "sync", code=1, JOBSTATUS_WAITING_BUDGET="20")
    assert "15 jobs wait already, and no consumer has settled one of them in 0.1 s" in failed.stderr
    assert len(own.waiting()) == 15

    monkeypatch.setattr(walking, "PATIENCE", 60.0)
    with consumer_of(own):
        found = document(own, "target", "sync", JOBSTATUS_WAITING_BUDGET="20")
    own.settle()
    assert found["parked"] >= 59 - 15
    assert own.run("SELECT DISTINCT status::text FROM jobs") == [("done",)]


class consumer_of(threading.Thread):  # noqa: N801 - read as a phrase
    """A consumer's thread that settles what waits, for the block."""

    def __init__(self, own: OwnTable) -> None:
        super().__init__()
        self._settle: Callable[[], object] = own.store().settle
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.01):
            self._settle()

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join(30)


def test_without_a_target_the_setting_is_named(own: OwnTable) -> None:
    failed = command(own, "target", "sync", code=2, JOBSTATUS_TARGET="")
    assert "no target is set; give the target file with --target or JOBSTATUS_TARGET" in failed.stderr
