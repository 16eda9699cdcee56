"""Times as an operator types and reads them: ISO 8601 with a zone, or how long ago. Nothing is guessed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jobstatus_consumer.errors import SettingsError
from jobstatus_consumer.words import rfc3339

ALLOWED: Final = (
    "allowed: ISO 8601 with a zone (2026-03-29T02:30:00Z, 2026-03-29T02:30+02:00, 2026-03-29T02:30[Europe/Berlin]) "
    'or how long ago ("2h ago", "1h30m ago", "3d ago")'
)

NO_TIME: Final = -1
"""The timestamp of a record that has none."""
HALF_A_YEAR: Final = timedelta(days=183)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_AGO = re.compile(r"((?:\d+(?:\.\d+)?\s*[a-z]+\s*)+)ago", re.IGNORECASE)
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE)
_ZONED = re.compile(r"(.+?)(?:\[([A-Za-z0-9_+/-]+)\]|\s+([A-Za-z]+(?:/[A-Za-z0-9_+-]+)+))")
_UNITS: Final = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), timedelta(seconds=1)),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), timedelta(minutes=1)),
    **dict.fromkeys(("h", "hour", "hours"), timedelta(hours=1)),
    **dict.fromkeys(("d", "day", "days"), timedelta(days=1)),
    **dict.fromkeys(("w", "week", "weeks"), timedelta(weeks=1)),
}


def parse_time(text: str, now: datetime) -> datetime:
    """The instant that `text` names, in UTC; raises `SettingsError` if it is unclear or in the future."""
    wanted = text.strip()
    found = _ago(wanted, now) if wanted.lower().endswith("ago") else _iso(wanted)
    if found > now:
        raise SettingsError(f"{text!r} is in the future: it is {shown(now)} now")
    return found


def shown(instant: datetime) -> str:
    """An instant as this program writes it: UTC, to the millisecond."""
    return rfc3339(instant)


def shown_ms(milliseconds: int) -> str:
    """A record's timestamp (milliseconds) as this program writes it: `-` if it has none, the number if it is no date.

    Producers may set it, and one that sends microseconds instead of milliseconds names the year 50,000.
    """
    if milliseconds == NO_TIME:
        return "-"
    try:
        return shown(_EPOCH + timedelta(milliseconds=milliseconds))
    except OverflowError:
        return f"{milliseconds} ms since 1970"


def brief(text: str, now: datetime, *, seconds: bool = True) -> str:
    """A time in UTC for a narrow table, with the year only if it is more than half a year away.

    A text that is no time is returned as it is.
    """
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            return text
        instant = instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    year = "" if abs(now - instant) < HALF_A_YEAR else f"{instant.year:04d}-"
    return year + instant.strftime("%m-%d %H:%M:%S" if seconds else "%m-%d %H:%M")


def _ago(text: str, now: datetime) -> datetime:
    match = _AGO.fullmatch(text)
    if match is None:
        raise _unclear(text)
    back = timedelta()
    for number, unit in _AMOUNT.findall(match[1]):
        if unit.lower() not in _UNITS:
            raise _unclear(text)
        try:
            back += float(number) * _UNITS[unit.lower()]
        except OverflowError:
            raise _unclear(text) from None
    try:
        return now - back
    except OverflowError:
        raise _unclear(text) from None


def _iso(text: str) -> datetime:
    zoned = _ZONED.fullmatch(text)
    plain, zone = (zoned[1], zoned[2] or zoned[3]) if zoned else (text, None)
    if not re.match(r"\d{4}-?\d\d-?\d\d[T ]\d\d", plain):
        raise _unclear(text)
    try:
        found = datetime.fromisoformat(plain)
    except ValueError:
        raise _unclear(text) from None
    if zone is not None:
        if found.tzinfo is not None:
            raise SettingsError(f"{text!r} names two zones; {ALLOWED}")
        return _in_zone(text, found, zone)
    if found.tzinfo is None:
        raise SettingsError(f"{text!r} has no zone, and this program does not guess one; {ALLOWED}")
    return _utc(text, found)


def _in_zone(text: str, local: datetime, name: str) -> datetime:
    """Local time to UTC; raises `SettingsError` for an hour that the clocks skip or show twice."""
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(f"{text!r}: {name} is no time zone that this machine knows; {ALLOWED}") from None
    first, second = local.replace(tzinfo=zone, fold=0), local.replace(tzinfo=zone, fold=1)
    if first.utcoffset() == second.utcoffset():
        return _utc(text, first)
    choices = f"{first.isoformat()} or {second.isoformat()}"
    there = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == local
    what = "twice" if there else "not at all"
    raise SettingsError(f"{text!r}: the clocks of {name} show this time {what}; write {choices}")


def _utc(text: str, found: datetime) -> datetime:
    try:
        return found.astimezone(UTC)
    except OverflowError:
        raise _unclear(text) from None


def _unclear(text: str) -> SettingsError:
    return SettingsError(f"{text!r} is no time; {ALLOWED}")
