"""What history says of a job's events where they do not tell alone what the row is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobstatus_consumer.operations.history import WHY, WHY_BY_ROW, HistoryEntry, explain, in_order
from jobstatus_consumer.operations.ranges import OffsetRange
from jobstatus_consumer.operations.scope import Scope
from jobstatus_consumer.records import Event, RawRecord, Rejected
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


def records_at(*told: tuple[int, int, int]) -> list[Rejected]:
    """Records by partition, offset and time."""
    return [Rejected(RawRecord("t", p, n, ms, b"job", b"", (), f"t/id/{p}"), "decode", "x", "") for p, n, ms in told]


def ordered(found: list[Rejected]) -> list[tuple[int, int]]:
    return [(item.raw.partition, item.raw.offset) for item in in_order(found)]


def test_times_that_go_back_do_not_break_the_logs_ordered() -> None:
    assert ordered(records_at((0, 0, 96), (0, 1, 99), (0, 2, 98))) == [(0, 0), (0, 1), (0, 2)]
    assert ordered(records_at((0, 0, 96), (0, 1, -1), (0, 2, 98))) == [(0, 0), (0, 1), (0, 2)]


def test_two_partitions_are_merged_by_time() -> None:
    assert ordered(records_at((3, 7, 10), (3, 8, 20), (0, 0, 15), (0, 1, 30))) == [(3, 7), (0, 0), (3, 8), (0, 1)]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 5)), max_size=20), st.randoms(use_true_random=False))
def test_within_a_partition_it_is_always_the_logs_ordered(told: list[tuple[int, int]], rng: random.Random) -> None:
    found = records_at(*((partition, offset, time) for offset, (partition, time) in enumerate(told)))
    rng.shuffle(found)
    found_order = ordered(found)
    for partition in range(3):
        offsets = [offset for number, offset in found_order if number == partition]
        assert offsets == sorted(offsets)
    assert len(found_order) == len(told)
