"""A worker's own part: its pace, and what it measures."""

from __future__ import annotations

from pathlib import Path

import pytest
from jobstatus_demo.errors import DemoError
from jobstatus_demo.figures import Calls
from jobstatus_demo.plan import Plan
from jobstatus_demo.worker import Assignment, Work, work


def an_assignment(**changed: object) -> Assignment:
    given: dict[str, object] = {
        "name": "worker-01",
        "way": "jobstatus",
        "table": "jobs",
        "jobs": Plan(jobs=100).jobs_of(0),
        "interval": 0.0,
        "stop_after": 60.0,
        "result": "unused",
    }
    return Assignment(**{**given, **changed})  # type: ignore[arg-type]


def test_every_update_is_reported_in_order() -> None:
    seen: list[tuple[str, str, str | None]] = []
    assignment = an_assignment()
    done = work(assignment, lambda *update: seen.append(update))
    assert seen == [update for job in assignment.jobs for update in job.updates()]
    assert (len(done.nanos), done.failed) == (len(seen), 0)


def test_a_call_that_fails_is_counted_and_the_next_one_is_made() -> None:
    def report(_job: str, status: str, _message: str | None) -> None:
        if status == "processing":
            raise OSError("too many clients")

    done = work(an_assignment(), report)
    assert (len(done.nanos), done.failed) == (14, 7)
    assert done.last_error == "OSError: too many clients"


def test_it_stops_when_time_is_up() -> None:
    done = work(an_assignment(stop_after=0.0), lambda *_: None)
    assert done.nanos == []


def test_an_assignment_reaches_another_process_whole(tmp_path: Path) -> None:
    assignment = an_assignment(stop_after=86_400.0)
    assignment.save(tmp_path / "a.json")
    assert Assignment.load(tmp_path / "a.json") == assignment


def test_the_cost_of_a_call_is_of_all_workers_together() -> None:
    calls = Calls.of(
        [Work([1000 * n for n in range(50)], 1, "", 1.0), Work([1000 * n for n in range(50, 100)], 0, "", 1.0)]
    )
    assert (calls.calls, calls.failed, calls.p50_micros, calls.p99_micros) == (100, 1, 50.0, 99.0)


def test_a_part_without_one_good_call_says_why() -> None:
    with pytest.raises(DemoError, match="too many clients"):
        Calls.of([Work([], 3, "OSError: too many clients", 1.0)])
