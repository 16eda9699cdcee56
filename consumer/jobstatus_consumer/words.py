"""Numbers and names in the words of a person: `1 row`, `1,200 rows`, `3 late, 1 redelivered`."""

from __future__ import annotations

from collections.abc import Mapping


def counted(count: int, one: str, many: str = "") -> str:
    """Return the number with its noun: `one` after 1, else `many`, which is `one` with an s if it is not given."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(counts: Mapping[str, int]) -> str:
    """Return each count with its name, without those that are zero."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
