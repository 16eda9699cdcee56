"""Lengths of time as a person types and reads them: `30d`, `15m`, `1h30m`."""

from __future__ import annotations

import re
from typing import Final

ALLOWED: Final = "1s to 3650d, such as 90s, 15m, 1h30m or 30d"
_SECONDS: Final = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_SHORTEST, _LONGEST = 1, 3650 * 86_400
_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?")


def parse_duration(text: str) -> int:
    """Return the seconds; raises `ValueError`, which says what is allowed."""
    match = _DURATION.fullmatch(text.strip().lower())
    numbers = match.groups("0") if match else ()
    seconds = sum(int(number) * unit for number, unit in zip(numbers, _SECONDS.values(), strict=False))
    if not _SHORTEST <= seconds <= _LONGEST:
        raise ValueError(f"{text!r} is not a length of time; allowed: {ALLOWED}")
    return seconds


def shown_duration(seconds: float) -> str:
    """Return a length of time in its two largest units: `2d 3h`, `15m`, `0s`."""
    left, parts = int(max(0.0, seconds)), []
    for unit, size in _SECONDS.items():
        number, left = divmod(left, size)
        parts.append(f"{number}{unit}" if number else "")
    first = next((place for place, part in enumerate(parts) if part), 3)
    return " ".join(part for part in parts[first : first + 2] if part) or "0s"
