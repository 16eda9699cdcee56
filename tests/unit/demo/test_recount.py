"""The recount must notice everything that can be wrong with a row."""

from __future__ import annotations

from collections import Counter

import pytest
from jobstatus_demo.recount import Recount, Reported, Row, apply_one_by_one, compare

LOG = "jobs/abc/0"


def an_event(job_id: str, status: str, offset: int, *, late: bool = False, time: int | None = None) -> Reported:
    at = 1_000 + offset if time is None else time
    event_id = f"00000000-0000-4000-8000-{offset:012d}"
    return Reported(job_id, Row(status, None, None, "worker-01", at, event_id, LOG, offset), at, late)


EVENTS = [
    an_event("a", "pending", 0),
    an_event("b", "pending", 1),
    an_event("a", "success", 2),
    an_event("b", "error", 3),
]
REPORTED = Counter((event.job_id, event.row.status) for event in EVENTS)
LAST = {"a": "success", "b": "error"}


def recount(rows: dict[str, Row]) -> Recount:
    return compare(EVENTS, rows, REPORTED, LAST)


def right_rows() -> dict[str, Row]:
    return apply_one_by_one(EVENTS)


def test_the_last_event_of_a_job_is_its_row() -> None:
    rows = right_rows()
    assert {job_id: (row.status, row.log_offset) for job_id, row in rows.items()} == {
        "a": ("success", 2),
        "b": ("error", 3),
    }


def test_a_late_event_with_old_news_is_not_its_row() -> None:
    rows = apply_one_by_one([an_event("a", "success", 0, time=50), an_event("a", "pending", 1, late=True, time=10)])
    assert rows["a"].status == "success"


def test_a_late_event_with_news_is_its_row() -> None:
    rows = apply_one_by_one([an_event("a", "pending", 0, time=10), an_event("a", "success", 1, late=True, time=50)])
    assert rows["a"].status == "success"


def test_nothing_is_lost_where_every_row_is_right() -> None:
    found = recount(right_rows())
    assert found.lost == 0
    assert (found.events, found.rows) == (4, 2)


def test_a_missing_row_is_lost() -> None:
    rows = right_rows()
    del rows["a"]
    found = recount(rows)
    assert (found.missing, found.lost) == (["a"], 1)


def test_a_row_at_an_earlier_event_is_lost() -> None:
    rows = right_rows()
    rows["a"] = apply_one_by_one(EVENTS[:1])["a"]
    found = recount(rows)
    assert (found.behind, found.unexpected, found.lost) == (["a"], ["a"], 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "error"},
        {"error_message": "x"},
        {"attempt": 1},
        {"worker_id": None},
        {"occurred_at": 5},
        {"event_id": "00000000-0000-4000-8000-999999999999"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_row_that_says_something_else_than_its_event_is_lost(wrong: dict[str, object]) -> None:
    rows = right_rows()
    rows["a"] = Row(**{**rows["a"]._asdict(), **wrong})
    found = recount(rows)
    assert (found.different, found.lost) == (["a"], 1)


def test_a_row_of_no_job_is_noticed() -> None:
    rows = {**right_rows(), "stranger": right_rows()["a"]}
    found = recount(rows)
    assert (found.unexpected, found.lost) == (["stranger"], 1)


def test_an_update_that_never_came_to_the_topic_is_lost() -> None:
    events = [event for event in EVENTS if event.row.log_offset != 1]
    found = compare(events, apply_one_by_one(events), REPORTED, LAST)
    assert (found.never_arrived, found.lost) == (1, 1)


def test_a_job_whose_last_update_never_came_did_not_end_as_its_worker_said() -> None:
    events = EVENTS[:3]
    found = compare(events, apply_one_by_one(events), REPORTED, LAST)
    assert (found.never_arrived, found.unexpected) == (1, ["b"])
