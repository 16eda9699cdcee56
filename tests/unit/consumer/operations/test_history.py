"""What history says of a job's events where they do not tell alone what the row is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from jobstatus_consumer.operations.history import WHY, WHY_BY_ROW, HistoryEntry, explain
from jobstatus_consumer.operations.ranges import OffsetRange
from jobstatus_consumer.operations.scope import Scope
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import Row
from law.events import LOG_B, event
from law.model import one_by_one
from support.fake_log import LOGS
from support.fake_table import FakeTable, in_second

SCOPE = Scope("job-status", [OffsetRange(0, 0, 10), OffsetRange(1, 0, 10)], LOGS)


def row_of(events: Sequence[Event], **by_hand: Any) -> Row:
    table = FakeTable(one_by_one({}, events))
    table.change("job-1", **by_hand)
    return table.rows(["job-1"])["job-1"]


def told(events: Sequence[Event], row: Row) -> list[HistoryEntry]:
    return list(explain("job-1", events, row, [], SCOPE).items)


@pytest.mark.parametrize(
    ("removed", "left", "outcome"),
    [
        ({"attempt": 3}, {"attempt": 1}, "lower_attempt"),
        ({"time": 9}, {"time": 5, "late": True}, "late"),
        ({"time": 9, "log_id": LOG_B}, {"time": 5}, "other_log"),
        ({"time": 9, "attempt": 3, "log_id": LOG_B}, {"time": 5, "attempt": 2}, "lower_attempt"),
    ],
)
def test_the_newest_event_is_held_against_the_row_where_what_made_it_is_gone(
    removed: dict[str, Any], left: dict[str, Any], outcome: str
) -> None:
    row = row_of([event(offset=0, **removed), event(offset=1, **left)])
    (item,) = told([event(offset=1, **left)], row)
    assert (item.outcome, item.why) == (outcome, WHY_BY_ROW[outcome])
    assert item.why != WHY["superseded"]


def test_an_attempt_that_was_set_by_hand_is_the_reason_and_not_a_later_event() -> None:
    events = [event(offset=0, attempt=1, time=1), event(offset=1, attempt=1, time=2)]
    row = row_of(events[:1], attempt=77)
    assert [(item.outcome, item.by_row) for item in told(events, row)] == [("shown", False), ("lower_attempt", True)]
    row = row_of(events, attempt=77, offset=50)
    assert [item.outcome for item in told(events, row)] == ["superseded", "redelivered"]
    row = row_of(events, attempt=77, log=None, offset=None)
    assert [item.outcome for item in told(events, row)] == ["lower_attempt", "lower_attempt"]


def test_what_the_row_has_passed_is_superseded_also_in_another_partition() -> None:
    first = [event(offset=0, attempt=1, time=1), event(offset=1, attempt=2, time=2)]
    second = [in_second(event(offset=0, attempt=3, time=3)), in_second(event(offset=1, attempt=2, time=4))]
    row = row_of([*first, *second])
    assert [(item.outcome, item.by_row) for item in told([*first, *second], row)] == [
        ("superseded", False),
        ("superseded", False),
        ("shown", False),
        ("lower_attempt", False),
    ]
