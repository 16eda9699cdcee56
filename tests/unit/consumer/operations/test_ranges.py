"""The ranges that `--from` and `--to` name, checked against what each partition has."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from jobstatus_consumer.core.start_offsets import Watermarks
from jobstatus_consumer.errors import SettingsError
from jobstatus_consumer.operations.ranges import OffsetRange, ResolvedRanges, parse_bound, resolve

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BOUNDS = {0: Watermarks(0, 100), 1: Watermarks(40, 50), 2: Watermarks(7, 7)}


class Log:
    """Partition 0 has an event each second from 10:00:00, partition 1 one each minute; 2 is empty."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def first_at(self, milliseconds: int) -> Mapping[int, int]:
        self.asked.append(milliseconds)
        seconds = -(-(milliseconds - 1_795_341_600_000) // 1000)
        return {0: min(100, max(0, seconds)), 1: min(50, max(40, 40 + -(-seconds // 60))), 2: 7}


def ranges_of(first: str, last: str = "now") -> list[OffsetRange]:
    edges = parse_bound("--from", first, NOW), parse_bound("--to", last, NOW)
    return list(resolve(*edges, BOUNDS, Log()).ranges)


def refused(first: str, last: str = "now") -> str:
    with pytest.raises(SettingsError) as raised:
        ranges_of(first, last)
    return str(raised.value)


def test_from_the_beginning_to_now_is_all_there_is() -> None:
    assert ranges_of("beginning") == [(0, 0, 100), (1, 40, 50), (2, 7, 7)]


def test_a_list_of_offsets_says_which_partitions_too() -> None:
    assert ranges_of("1:45") == [(1, 45, 50)]
    assert ranges_of("beginning", "0:5,1:40") == [(0, 0, 5), (1, 40, 40)]
    assert ranges_of("0:5, 1:42", "0:9,1:45") == [(0, 5, 9), (1, 42, 45)]
    assert ranges_of("0:100") == [(0, 100, 100)]


def test_times_before_between_and_after() -> None:
    assert ranges_of("2026-11-22T09:00Z") == [(0, 0, 100), (1, 40, 50), (2, 7, 7)]
    assert ranges_of("2026-11-22T10:00:30Z", "2026-11-22T10:01:00.001Z") == [(0, 30, 61), (1, 41, 42), (2, 7, 7)]
    assert ranges_of("2026-11-22T11:30Z") == [(0, 100, 100), (1, 50, 50), (2, 7, 7)]
    assert ranges_of("2026-11-22T11:00:30+01:00", "0:50") == [(0, 30, 50)]


def test_a_time_is_asked_to_the_millisecond_that_is_not_before_it() -> None:
    log = Log()
    for text in ("2026-11-22T10:00:00.123Z", "2026-11-22T10:00:00.123001Z"):
        resolve(parse_bound("--from", text, NOW), parse_bound("--to", "now", NOW), BOUNDS, log)
    assert log.asked == [1_795_341_600_123, 1_795_341_600_124]


def test_what_came_in_while_a_time_was_asked_is_not_wanted() -> None:
    edges = parse_bound("--from", "beginning", NOW), parse_bound("--to", "1m ago", NOW)
    assert resolve(*edges, {0: Watermarks(0, 20)}, Log()).ranges == [(0, 0, 20)]


def test_retention_is_said() -> None:
    edges = parse_bound("--from", "beginning", NOW), parse_bound("--to", "now", NOW)
    (remark,) = resolve(*edges, BOUNDS, Log()).remarks
    assert "removed 47 offsets" in remark
    assert "1 (before 40), 2 (before 7)" in remark
    assert resolve(*edges, {0: Watermarks(0, 5)}, Log()).remarks == []


def going_on(first: str, last: str, done: Mapping[int, int]) -> ResolvedRanges:
    edges = parse_bound("--from", first, NOW), parse_bound("--to", last, NOW)
    return resolve(*edges, BOUNDS, Log(), done)


def test_a_place_stands_for_where_it_began_whatever_the_log_still_has() -> None:
    assert going_on("1:5", "now", {1: 44}).ranges == [(1, 44, 50)]
    assert going_on("1:5", "1:20", {1: 20}).ranges == [(1, 20, 20)], "all is done, and gone since"
    assert going_on("1:5", "1:45", {1: 47}).ranges == [(1, 47, 47)]
    assert going_on("1:5", "now", {1: 30}).ranges == [(1, 30, 50)], "what is lost is for others to name"
    assert going_on("beginning", "now", {0: 3, 1: 40, 2: 7}) == ([(0, 3, 100), (1, 40, 50), (2, 7, 7)], [])
    with pytest.raises(SettingsError, match="retention has removed what was before 40"):
        going_on("0:5,1:5", "now", {0: 9})


def test_what_makes_no_sense_is_refused_by_name() -> None:
    assert "no partition 9; the topic has 0 to 2" in refused("9:1")
    assert "no partition 9" in refused("beginning", "9:1")
    assert "partition 0 has no offset 101: it holds offsets 0 to 100" in refused("0:101")
    assert "retention has removed what was before 40" in refused("1:39")
    assert "partition 1 has no offset 51" in refused("beginning", "1:51")
    assert "--from is after --to in partition 0: 10 is after 5" in refused("0:10", "0:5")
    assert "--from is after --to" in refused("0:90", "2026-11-22T10:00:30Z")
    assert "is after --to" in refused("1h ago", "2h ago")
    assert "partition 1 is not in --from" in refused("0:1", "1:45")
    assert "--from 0:5,1:42: partition 1 is not in --to 0:9" in refused("0:5,1:42", "0:9")
    assert "named twice" in refused("0:1,0:2")
    assert "is not P:N" in refused("0:1,x")
    assert "is not P:N" in refused("0:99999999999999999999")
    assert "allowed: beginning" in refused("now")
    assert "allowed: now" in refused("beginning", "beginning")
    assert "allowed: beginning" in refused("latest")
    assert "in the future" in refused("2026-12-01T00:00Z")
    assert "in the future" in refused("beginning", "2026-12-01T00:00Z")
    assert "has no zone" in refused("2026-11-22T10:00")


class AskedTimes:
    """Notes what the broker would be asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def first_at(self, milliseconds: int) -> Mapping[int, int]:
        self.asked.append(milliseconds)
        return {0: 0}


@pytest.mark.parametrize(
    "text", ["1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.998Z", "0001-01-01T00:00Z", "3000w ago"]
)
def test_a_time_before_the_epoch_is_asked_as_the_epoch(text: str) -> None:
    times = AskedTimes()
    resolve(parse_bound("--from", text, NOW), parse_bound("--to", "now", NOW), {0: Watermarks(0, 10)}, times)
    assert times.asked == [0]


@pytest.mark.parametrize("text", ["01:30", "1:030", "00:5", "0:5,01:30", "0:5, 1:00"])
def test_numbers_with_leading_zeros_are_no_offsets(text: str) -> None:
    with pytest.raises(SettingsError, match=r"without leading zeros.*a time needs its date"):
        parse_bound("--from", text, NOW)


def test_zero_itself_is_an_offset() -> None:
    assert parse_bound("--from", "0:0,10:100", NOW).offsets == {0: 0, 10: 100}


@pytest.mark.parametrize("text", ["١:٣", "1:٣", "１:３０"])
def test_digits_of_other_scripts_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="allowed"):
        parse_bound("--from", text, NOW)
