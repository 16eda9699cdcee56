"""How long a job was in each status, by the events that made its row. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from jobstatus_consumer.operations.history import History
from jobstatus_consumer.records import Event

COUNTED: Final = ("superseded", "shown", "purged")
"""The outcomes of events that the row has shown at some time."""


class Span(NamedTuple):
    """A time in which the job had one status in one attempt.

    `since` is the time of its first event, in microseconds since 1970-01-01 UTC. `seconds` is None where no retained
    event says when it ended. `lasts` says that the row still shows it; `seconds` counts up to now then.
    """

    status: str
    attempt: int | None
    since: int
    seconds: float | None
    lasts: bool


def timeline(found: History, now: float) -> list[Span]:
    """The spans of a job in the order of its log, at `now` (seconds since 1970-01-01 UTC).

    The times are those of the events; where a worker's clock went back, a span has no length.
    """
    events = [item.event for item in found.items if item.event is not None and item.outcome in COUNTED]
    spans = list(_unended(events))
    if not spans:
        return []
    lasts = any(item.outcome == "shown" for item in found.items)
    end = now if lasts else found.purged_at
    ends = [*(after.since for after in spans[1:]), None if end is None else int(end * 1e6)]
    ended = [
        span._replace(seconds=None if at is None else max(0, at - span.since) / 1e6)
        for span, at in zip(spans, ends, strict=True)
    ]
    return [*ended[:-1], ended[-1]._replace(lasts=lasts)]


def _unended(events: Sequence[Event]) -> Iterator[Span]:
    for (status, attempt), group in groupby(events, key=lambda event: (event.status, event.attempt)):
        yield Span(status, attempt, next(group).time, None, lasts=False)


def totals(spans: Sequence[Span]) -> dict[str, float]:
    """The seconds in each status, in the order of their first span; without those whose end is not known."""
    found: dict[str, float] = {}
    for span in spans:
        if span.seconds is not None:
            found[span.status] = found.get(span.status, 0.0) + span.seconds
    return found
