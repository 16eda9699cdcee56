"""What a page of one job reads of the log, and what it makes of the events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from jobstatus_consumer.core import Watermarks
from jobstatus_consumer.operations.history import HistoryEntry, explain
from jobstatus_consumer.operations.job import attempts_of, split, stays_of
from jobstatus_consumer.operations.ranges import OffsetRange
from jobstatus_consumer.operations.scope import Scope
from jobstatus_consumer.records import Event, Log
from jobstatus_consumer.store import Row
from law.events import LOG_A, NOON, event
from law.model import one_by_one
from support.fake_log import LOGS
from support.fake_table import FakeTable

MARKS: Final = {0: Watermarks(0, 1000), 1: Watermarks(500, 1000)}
LOGS_OF: Final = {number: Log("job-status", "AAAAAAAAAAAAAAAAAAAAAA", number) for number in (0, 1)}


def history(events: Sequence[Event]) -> Sequence[HistoryEntry]:
    row = FakeTable(one_by_one({}, events)).rows(["job-1"])["job-1"]
    return explain("job-1", events, row, [], Scope("job-status", [OffsetRange(0, 0, 10)], LOGS)).items


def test_without_a_row_the_newest_offsets_of_every_partition_are_read() -> None:
    ranges, unread = split(MARKS, LOGS_OF, None, 800)
    assert ranges == [OffsetRange(0, 600, 1000), OffsetRange(1, 600, 1000)]
    assert unread == [OffsetRange(0, 0, 600), OffsetRange(1, 500, 600)]


def test_the_partition_of_the_row_gets_the_most() -> None:
    ranges, unread = split(MARKS, LOGS_OF, Row(log_id=LOG_A, log_offset=900), 800)
    assert ranges == [OffsetRange(0, 200, 1000), OffsetRange(1, 920, 1000)]
    assert unread == [OffsetRange(0, 0, 200), OffsetRange(1, 500, 920)]


def test_an_old_row_is_read_with_what_led_to_it() -> None:
    ranges, unread = split(MARKS, LOGS_OF, Row(log_id=LOG_A, log_offset=150), 100)
    assert ranges[0] == OffsetRange(0, 51, 151)
    assert unread[:2] == [OffsetRange(0, 0, 51), OffsetRange(0, 151, 1000)]


def test_a_log_that_fits_is_read_whole() -> None:
    ranges, unread = split(MARKS, LOGS_OF, None, 10_000)
    assert sum(item.size for item in ranges) == 1500
    assert unread == []


def test_time_in_each_status_counts_what_the_row_has_shown() -> None:
    items = history(
        [
            event(offset=0, status="pending", attempt=1, time=0),
            event(offset=1, status="processing", attempt=1, time=10),
            event(offset=2, status="processing", attempt=1, time=15),
            event(offset=3, status="processing", attempt=2, time=30),
            event(offset=4, status="error", attempt=1, time=35),
            event(offset=5, status="success", attempt=2, time=50),
        ]
    )
    found = [
        (stay.status, stay.attempt, stay.start - NOON, None if stay.end is None else stay.end - NOON)
        for stay in stays_of(items)
    ]
    assert found == [
        ("pending", 1, 0, 10),
        ("processing", 1, 10, 30),
        ("processing", 2, 30, 50),
        ("success", 2, 50, None),
    ]


def test_attempts_side_by_side() -> None:
    items = history(
        [
            event(offset=0, status="processing", attempt=1, time=0),
            event(offset=1, status="error", attempt=1, time=7),
            event(offset=2, status="processing", attempt=2, time=9),
        ]
    )
    assert [(one.number, one.status, one.end - one.start, one.events) for one in attempts_of(items)] == [
        (1, "error", 7, 2),
        (2, "processing", 0, 1),
    ]


def test_no_event_makes_nothing() -> None:
    assert list(stays_of([])) == []
    assert attempts_of([]) == []
