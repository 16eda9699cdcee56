"""The lag: how many events are not written, and how old the oldest of them is."""

from __future__ import annotations

import pytest
from jobstatus_consumer.records import RawRecord
from jobstatus_consumer.stream.lag import LagWatch

NOW = 1_767_268_800.0


def record(partition: int, age: float) -> RawRecord:
    return RawRecord("t", partition, 0, int((NOW - age) * 1000), None, None, (), "t/id/0")


def test_nothing_to_write_is_no_lag() -> None:
    lag = LagWatch().measured({0: 0, 1: 0}, {0: 5, 1: 7}, [record(0, 30)], NOW)
    assert (lag.events, lag.oldest_seconds) == (0, 0)


def test_the_oldest_record_that_was_read_counts() -> None:
    lag = LagWatch().measured({0: 2, 1: 1}, {0: 5, 1: 7}, [record(0, 3), record(1, 40), record(0, 9)], NOW)
    assert lag.events == 3
    assert lag.oldest_seconds == pytest.approx(40)


def test_a_partition_of_which_nothing_was_read_is_behind_since_that_was_seen() -> None:
    watch = LagWatch()
    assert watch.measured({0: 3}, {0: 5}, [], NOW).oldest_seconds == 0
    assert watch.measured({0: 9}, {0: 5}, [], NOW + 60).oldest_seconds == 60
    assert watch.measured({0: 6}, {0: 8}, [], NOW + 70).oldest_seconds == 0, "other events are the oldest now"
    assert watch.measured({0: 0}, {0: 14}, [], NOW + 80).oldest_seconds == 0
    assert watch.measured({0: 1}, {0: 14}, [], NOW + 90).oldest_seconds == 0, "it was not behind in between"


def test_a_record_of_the_future_or_without_a_time_is_not_older_than_what_was_seen() -> None:
    timeless = record(0, 0)._replace(timestamp=-1)
    assert LagWatch().measured({0: 2}, {0: 5}, [record(0, -3600), timeless], NOW).oldest_seconds == 0
