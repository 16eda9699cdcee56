"""Lengths of time as a person types and reads them."""

from __future__ import annotations

import pytest
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.durations import parse_duration, shown_duration
from jobstatus_consumer.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("15m", 900), ("1h30m", 5400), (" 30D ", 30 * 86_400), ("3650d", 3650 * 86_400), ("1d2h3m4s", 93_784)],
)
def test_a_length_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "3651d", "15", "15 m", "m", "1m1h", "1.5h", "-1s", "1w", "9999999999s"])
def test_what_is_no_length_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: 1s to 3650d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (-5, "0s"), (59.9, "59s"), (900, "15m"), (5400, "1h 30m"), (93_784, "1d 2h"), (86_401, "1d")],
)
def test_a_length_is_shown_in_two_units(seconds: float, text: str) -> None:
    assert shown_duration(seconds) == text


def test_deadlines_are_seconds_by_status() -> None:
    settings = load_settings({"JOBSTATUS_DEADLINES": "processing=15m, pending = 2h"})
    assert settings.deadlines == {"processing": 900, "pending": 7200}
    assert load_settings({}).deadlines is None


@pytest.mark.parametrize("text", ["processing", "=15m", "a=1m,a=2m", "a=", ",", "a=1w"])
def test_other_deadlines_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="JOBSTATUS_DEADLINES"):
        load_settings({"JOBSTATUS_DEADLINES": text})
