"""The rule: may this event change this row? (docs/design.md, "which event wins")

The guard in `store/write.sql` is the same rule in SQL; this one explains what the guard did, and serves whoever
compares rows with the log. Both are held to a third, independent model by the tests.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from jobstatus_consumer.records import Event

Verdict = Literal["applied", "redelivered", "lower_attempt", "late", "other_log"]
"""`applied`, or why an event is stale. `lower_attempt` deserves a warning: a counter that starts again hides news."""


class RowState(NamedTuple):
    """What a row remembers for the order; times in microseconds. A row that someone else wrote has no position."""

    attempt: int | None
    latest: int | None
    log_id: str | None
    log_offset: int | None

    @property
    def has_position(self) -> bool:
        return self.log_id is not None and self.log_offset is not None


def decide(row: RowState | None, event: Event) -> Verdict:
    """What the table does with this event. The reasons are asked in the order in which they explain most."""
    if row is None:
        return "applied"
    same_log = row.log_id == event.log_id and row.has_position
    if same_log and row.log_offset is not None and event.offset <= row.log_offset:
        return "redelivered"
    if event.attempt is not None and row.attempt is not None and event.attempt < row.attempt:
        return "lower_attempt"
    if not row.has_position or (same_log and not event.late):
        return "applied"
    if _attempt_is_higher(row, event) or row.latest is None or event.time > row.latest:
        return "applied"
    return "late" if same_log else "other_log"


def advance(row: RowState | None, event: Event) -> RowState:
    """The row's state for the order after this event, whether it changed the row or not.

    Somebody else's row (no position) may hold any `latest`; it says nothing about our logs and is not kept.
    """
    if row is None:
        return RowState(event.attempt, event.time, event.log_id, event.offset)
    if decide(row, event) != "applied":
        return row
    attempt = row.attempt if event.attempt is None else event.attempt
    latest = max(event.time, row.latest) if row.has_position and row.latest is not None else event.time
    return RowState(attempt, latest, event.log_id, event.offset)


def _attempt_is_higher(row: RowState, event: Event) -> bool:
    return event.attempt is not None and (row.attempt is None or event.attempt > row.attempt)
