"""The lag: how many events are not written, and how old the oldest of them is."""

from __future__ import annotations

import pytest
from jobstatus_consumer.records import RawRecord
from jobstatus_consumer.stream.lag import LagWatch

NOW = 1_767_268_800.0


def record(partition: int, age: float) -> RawRecord:
    return RawRecord("t", partition, 0, int((NOW - age) * 1000), None, None, (), "t/id/0")


def test_nothing_to_write_is_no_lag() -> None:
    lag = LagWatch().measured({0: 0, 1: 0}, [record(0, 30)], NOW)
    assert (lag.events, lag.oldest_seconds(NOW), lag.seconds(NOW + 60)) == (0, 0, {0: 0, 1: 0})


def test_the_oldest_record_that_was_read_counts() -> None:
    lag = LagWatch().measured({0: 2, 1: 1}, [record(0, 3), record(1, 40), record(0, 9)], NOW)
    assert lag.events == 3
    assert lag.oldest_seconds(NOW) == pytest.approx(40)
    assert lag.seconds(NOW) == pytest.approx({0: 9, 1: 40})


def test_the_age_grows_although_nothing_is_measured_again() -> None:
    """A scrape may come while the loop is blocked in a rebalance."""
    lag = LagWatch().measured({0: 1}, [record(0, 3)], NOW)
    assert lag.seconds(NOW + 60) == pytest.approx({0: 63})


def test_a_partition_of_which_nothing_was_read_is_behind_since_that_was_seen() -> None:
    watch = LagWatch()
    assert watch.measured({0: 3}, [], NOW).oldest_seconds(NOW) == 0
    assert watch.measured({0: 9}, [], NOW + 60).oldest_seconds(NOW + 60) == 60
    assert watch.measured({0: 0}, [], NOW + 80).oldest_seconds(NOW + 80) == 0
    assert watch.measured({0: 1}, [], NOW + 90).oldest_seconds(NOW + 90) == 0, "it was not behind in between"


def test_the_age_in_a_backlog_does_not_fall_to_0_between_two_reads() -> None:
    watch = LagWatch()
    assert watch.measured({0: 900}, [record(0, 3600)], NOW).oldest_seconds(NOW) == pytest.approx(3600)
    later = watch.measured({0: 850}, [], NOW + 1)
    assert later.oldest_seconds(NOW + 1) == pytest.approx(3601), "50 were written, and the next ones are not read yet"
    assert watch.measured({0: 850}, [record(0, 3000)], NOW + 2).oldest_seconds(NOW + 2) == pytest.approx(3002)


def test_a_record_of_the_future_or_without_a_time_is_not_older_than_what_was_seen() -> None:
    timeless = record(0, 0)._replace(timestamp=-1)
    assert LagWatch().measured({0: 2}, [record(0, -3600), timeless], NOW).oldest_seconds(NOW) == 0
