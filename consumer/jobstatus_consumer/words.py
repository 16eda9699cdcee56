"""Numbers, names, times and foreign texts as a person reads them: `1 row`, `1,200 rows`, `3 late, 1 redelivered`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(instant: datetime, precision: Literal["milliseconds", "microseconds"] = "milliseconds") -> str:
    """Return a time as this program writes it: RFC 3339 in UTC."""
    return instant.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def rfc3339_of(micros: int) -> str:
    """Return an event's time (microseconds since 1970-01-01 UTC) in RFC 3339; the number if it is no date."""
    try:
        return rfc3339(_EPOCH + timedelta(microseconds=micros), "microseconds")
    except OverflowError:
        return f"{micros} microseconds since 1970"


def counted(count: int, one: str, many: str = "") -> str:
    """Return the number with its noun: `one` after 1, else `many`, which is `one` with an s if it is not given."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(counts: Mapping[str, int]) -> str:
    """Return each count with its name, without those that are zero."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def escaped(text: str, *, lines: bool = False) -> str:
    """Return the text with unprintable characters escaped: it may hold line breaks or terminal control codes.

    With `lines` the line breaks stay, for a text of our own with several lines.
    """
    kept = "\n" if lines else ""
    return "".join(
        sign if sign.isprintable() or sign in kept else sign.encode("unicode_escape").decode() for sign in text
    )
