"""What `--from` and `--to` take at their edges: times before the epoch, and what looks like offsets but is none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from jobstatus_consumer.core.start_offsets import Watermarks
from jobstatus_consumer.errors import SettingsError
from jobstatus_consumer.operations.ranges import parse_bound, resolve

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Times:
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
    times = Times()
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
