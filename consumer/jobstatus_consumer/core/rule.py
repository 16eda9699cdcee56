"""The rule: may this event change this row? (docs/design.md, "Which event wins")

The guard in `store/write.sql` is the same rule in SQL. This one explains what the guard did, and `operations/` compares
rows with the log by it. The tests compare both with a third model, which shares no code with them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from jobstatus_consumer.records import Event

Verdict = Literal["applied", "redelivered", "lower_attempt", "late", "other_log"]
"""`applied`, or why the event is stale. `lower_attempt` may mean that a worker's counter started again at 1."""


class Reported(Protocol):
    """What the rule compares of an event; `Event` is one. `time` is in microseconds."""

    @property
    def attempt(self) -> int | None: ...
    @property
    def time(self) -> int: ...
    @property
    def late(self) -> bool: ...
    @property
    def log_id(self) -> str: ...
    @property
    def offset(self) -> int: ...


class _Shown(NamedTuple):
    """What a row shows, as an event."""

    attempt: int | None
    time: int
    late: bool
    log_id: str
    offset: int


class RowState(NamedTuple):
    """The columns that the rule compares; `latest` in microseconds. A row of another program has no position."""

    attempt: int | None
    latest: int | None
    log_id: str | None
    log_offset: int | None

    @property
    def has_position(self) -> bool:
        return self.log_id is not None and self.log_offset is not None


def decide(row: RowState | None, event: Reported) -> Verdict:
    """What the table does with the event. Where several reasons hold, the one that explains most is returned."""
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


def is_news(state: RowState, other: RowState) -> bool:
    """Whether a row of the state `other` has an event that would change a row of this `state`. Both have a position."""
    shown = _Shown(other.attempt, other.latest or 0, False, other.log_id or "", other.log_offset or 0)
    return decide(state, shown) == "applied"


def advance(row: RowState | None, event: Event) -> RowState:
    """The row's state after this event, whether the event changed the row or not.

    The `latest` of a row without a position is dropped: another program wrote it, and it says nothing about our logs.
    """
    if row is None:
        return RowState(event.attempt, event.time, event.log_id, event.offset)
    if decide(row, event) != "applied":
        return row
    attempt = row.attempt if event.attempt is None else event.attempt
    latest = max(event.time, row.latest) if row.has_position and row.latest is not None else event.time
    return RowState(attempt, latest, event.log_id, event.offset)


def _attempt_is_higher(row: RowState, event: Reported) -> bool:
    return event.attempt is not None and (row.attempt is None or event.attempt > row.attempt)
