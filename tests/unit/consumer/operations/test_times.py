"""Times as an operator writes them: strict, with a zone, and never guessed."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobstatus_consumer.errors import SettingsError
from jobstatus_consumer.operations.times import brief, parse_time, shown, shown_ms

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-03-29T02:30:00Z", "2026-03-29T02:30:00.000Z"),
        ("2026-03-29T02:30+02:00", "2026-03-29T00:30:00.000Z"),
        ("2026-03-29 02:30:00.5-05:30", "2026-03-29T08:00:00.500Z"),
        ("20260329T023000Z", "2026-03-29T02:30:00.000Z"),
        ("2026-07-01T12:00[Europe/Berlin]", "2026-07-01T10:00:00.000Z"),
        ("2026-01-01 12:00 Europe/Berlin", "2026-01-01T11:00:00.000Z"),
        ("2h ago", "2026-11-22T10:00:00.000Z"),
        ("1h30m ago", "2026-11-22T10:30:00.000Z"),
        ("1 day 2 hours ago", "2026-11-21T10:00:00.000Z"),
        ("90 S AGO", "2026-11-22T11:58:30.000Z"),
        ("1w ago", "2026-11-15T12:00:00.000Z"),
        ("0s ago", "2026-11-22T12:00:00.000Z"),
    ],
)
def test_a_time_is_what_it_says(text: str, wanted: str) -> None:
    assert shown(parse_time(text, NOW)) == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yesterday", "is no time"),
        ("2h", "is no time"),
        ("h ago", "is no time"),
        ("2 fortnights ago", "is no time"),
        ("99999999999999d ago", "is no time"),
        ("2026-03-29", "is no time"),
        ("2026-13-29T00:00Z", "is no time"),
        ("1767268800", "is no time"),
        ("", "is no time"),
        ("2026-03-29T02:30:00", "has no zone"),
        ("2026-03-29T02:30Z[Europe/Berlin]", "two zones"),
        ("2026-03-29T02:00[Mars/Olympus]", "no time zone"),
        ("2026-11-22T12:00:01Z", "in the future"),
        ("2099-01-01T00:00Z", "in the future"),
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(text: str, words: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse_time(text, NOW)
    assert words in str(raised.value)
    assert "allowed" in str(raised.value) or "it is 2026-11-22" in str(raised.value)


def test_an_hour_that_the_clocks_skip_or_show_twice_is_refused_with_both_choices() -> None:
    with pytest.raises(SettingsError, match=r"not at all.*\+01:00 or .*\+02:00"):
        parse_time("2026-03-29T02:30[Europe/Berlin]", NOW)
    with pytest.raises(SettingsError, match=r"twice.*\+02:00 or .*\+01:00"):
        parse_time("2026-10-25T02:30[Europe/Berlin]", NOW)
    assert shown(parse_time("2026-10-25T02:30+02:00", NOW)) == "2026-10-25T00:30:00.000Z"
    assert shown(parse_time("2026-10-25T02:30+01:00", NOW)) == "2026-10-25T01:30:00.000Z"
    assert shown(parse_time("2026-10-25T03:30[Europe/Berlin]", NOW)) == "2026-10-25T02:30:00.000Z"


@given(st.text(max_size=40))
def test_whatever_is_given_the_answer_is_a_time_or_a_settings_error(text: str) -> None:
    with contextlib.suppress(SettingsError):
        assert parse_time(text, NOW).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-11-22T10:00:30.123Z", "11-22 10:00:30"),
        ("2026-11-22T10:00:30+01:00", "11-22 09:00:30"),
        ("2025-12-31T10:00:30.123Z", "2025-12-31 10:00:30"),
        ("2026-11-22T10:00:30", "2026-11-22T10:00:30"),
        ("0001-01-01T00:00:00+23:00", "0001-01-01T00:00:00+23:00"),
        ("-", "-"),
        ("", ""),
    ],
)
def test_a_narrow_table_shows_no_more_of_a_time_than_is_needed(text: str, wanted: str) -> None:
    now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    assert brief(text, now) == wanted
    assert brief(text, now, seconds=False) == wanted.removesuffix(":30" if " " in wanted else "?")


def test_a_record_without_a_time_shows_none() -> None:
    assert shown_ms(-1) == "-"
    assert shown_ms(1_767_268_800_123) == "2026-01-01T12:00:00.123Z"


@pytest.mark.parametrize(
    ("milliseconds", "wanted"),
    [
        (-1, "-"),
        (0, "1970-01-01T00:00:00.000Z"),
        (-5, "1969-12-31T23:59:59.995Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "253402300800000 ms since 1970"),
        (1_767_268_800_000_000, "1767268800000000 ms since 1970"),
        (2**63 - 1, "9223372036854775807 ms since 1970"),
        (-(2**63), "-9223372036854775808 ms since 1970"),
    ],
)
def test_a_time_that_is_no_date_is_shown_as_its_number(milliseconds: int, wanted: str) -> None:
    assert shown_ms(milliseconds) == wanted


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_time_can_be_shown(milliseconds: int) -> None:
    assert shown_ms(milliseconds)
