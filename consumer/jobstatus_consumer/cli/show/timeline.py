"""A job's time in each status, drawn in plain text within 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console

from jobstatus_consumer.cli.show.screen import narrow, print_fitted
from jobstatus_consumer.durations import shown_duration
from jobstatus_consumer.operations import Span, brief, totals
from jobstatus_consumer.words import rfc3339_of

BAR: Final = 14
"""Characters of the longest span that has ended."""
STATUS: Final = 20
"""The widest column of a status; a longer word is folded."""
SHORT: Final = 10.0
"""Below so many seconds a tenth is shown."""


def as_list(spans: Sequence[Span]) -> list[dict[str, Any]]:
    """The spans for `--json`; `seconds` is null where the end is not known."""
    return [
        {
            "status": span.status,
            "attempt": span.attempt,
            "since": rfc3339_of(span.since),
            "seconds": None if span.seconds is None else round(span.seconds, 3),
            "lasts": span.lasts,
        }
        for span in spans
    ]


def show(spans: Sequence[Span], console: Console) -> None:
    """Print the spans below each other, and the sums where a status came more than once."""
    if not spans:
        return
    table = narrow("since (UTC)", title="time in each status")
    table.add_column("status", max_width=STATUS, overflow="fold")
    table.add_column("attempt", justify="right")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    now = datetime.now(UTC)
    longest = max((span.seconds or 0.0 for span in spans if not span.lasts), default=0.0)
    for span in spans:
        since = brief(rfc3339_of(span.since), now)
        attempt = "-" if span.attempt is None else str(span.attempt)
        table.add_row(since, span.status, attempt, _length(span.seconds), _bar(span, longest))
    console.print(table)
    if len({span.status for span in spans}) < len(spans):
        sums = ", ".join(f"{status} {_length(seconds)}" for status, seconds in totals(spans).items())
        print_fitted(console, f"in all: {sums}")


def _length(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.1f}s" if seconds < SHORT else shown_duration(seconds)


def _bar(span: Span, longest: float) -> str:
    if span.lasts:
        return "> so far"
    if span.seconds is None:
        return "(end unknown)"
    return "=" * max(1, round(BAR * span.seconds / longest)) if longest else "="
