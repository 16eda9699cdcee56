"""Lag, freshness and speed by what the console has seen: the clock is the test's own."""

from __future__ import annotations

from jobstatus_consumer.console.trends import LINES, POINTS, Position, Trends, columns


def test_events_that_wait_grow_old_and_are_fresh_once_they_are_written() -> None:
    trends = Trends()
    trends.add(100.0, {0: Position(10, 10)}, None)
    waiting = trends.add(101.0, {0: Position(10, 12)}, None)
    older = trends.add(104.0, {0: Position(10, 12)}, None)
    written = trends.add(105.0, {0: Position(12, 12)}, None)
    assert (waiting.lag_seconds, older.lag_seconds, written.lag_seconds) == (0.0, 3.0, 0.0)
    assert (waiting.freshness, written.freshness) == (None, 4.0)
    assert (waiting.speed, written.speed) == (0.0, 2.0)
    assert older.lag == {0: 2}


def test_of_several_partitions_the_oldest_event_counts() -> None:
    trends = Trends()
    trends.add(100.0, {0: Position(0, 0), 1: Position(0, 0)}, None)
    trends.add(101.0, {0: Position(0, 1), 1: Position(0, 0)}, None)
    assert trends.add(103.0, {0: Position(0, 1), 1: Position(0, 1)}, None).lag_seconds == 2.0


def test_what_was_in_the_log_before_the_console_began_is_as_old_as_its_record() -> None:
    trends = Trends()
    assert trends.add(100.0, {0: Position(0, 5)}, None).lag_seconds == 0.0
    assert trends.add(101.0, {0: Position(0, 5)}, 40.0).lag_seconds == 61.0
    assert trends.add(102.0, {0: Position(5, 5)}, 40.0).freshness is None


def test_while_something_does_not_answer_nothing_is_known_and_no_speed_is_made_of_the_gap() -> None:
    trends = Trends()
    trends.add(100.0, {0: Position(0, 0)}, None)
    assert trends.add(101.0, None, None)[1:] == (None, None, None, {})
    after = trends.add(160.0, {0: Position(600, 600)}, None)
    assert (after.freshness, after.speed) == (None, None)


def test_a_log_that_was_made_again_begins_anew() -> None:
    trends = Trends()
    trends.add(100.0, {0: Position(50, 50)}, None)
    trends.add(101.0, {0: Position(0, 0)}, None)
    assert trends.add(102.0, {0: Position(0, 3)}, None).lag_seconds == 0.0
    assert trends.add(105.0, {0: Position(0, 3)}, None).lag_seconds == 3.0


def test_the_latest_point_remembers_the_last_write_for_a_minute() -> None:
    assert Trends().latest.at == 0.0
    trends = Trends()
    trends.add(100.0, {0: Position(0, 0)}, None)
    trends.add(101.0, {0: Position(0, 2)}, None)
    trends.add(103.0, {0: Position(2, 2)}, None)
    for second in range(104, 120):
        trends.add(float(second), {0: Position(2, 2)}, None)
    assert trends.latest.freshness == 2.0
    assert trends.latest.speed == 0.0
    for second in range(120, 200):
        trends.add(float(second), {0: Position(2, 2)}, None)
    assert trends.latest.freshness is None


def test_points_are_bounded_and_few_partitions_have_a_line() -> None:
    trends = Trends()
    for second in range(POINTS + 10):
        trends.add(float(second), {number: Position(0, number) for number in range(40)}, None)
    found = columns(list(trends.points))
    assert len(found["at"]) == POINTS
    lines = [name for name in found if name.startswith("partition ")]
    assert lines == [f"partition {number}" for number in range(40 - LINES, 40)]
