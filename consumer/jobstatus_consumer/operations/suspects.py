"""Rows that are not exactly what the log makes of their jobs: each is judged by every event of its job.

A row may differ and still be right: a live consumer has moved it on, retention has removed what it came from, its job
has events in two partitions (in which order those were written cannot be read again), or an event before its own was a
dead letter when the row was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jobstatus_schemas.event import MAX_OCCURRED_AT

from jobstatus_consumer.core import Watermarks, decide
from jobstatus_consumer.operations.findings import (
    AFTER,
    BEFORE,
    LOST_TAIL,
    NO_POSITION,
    NOT_READ,
    NOT_TAKEN,
    OTHER_LOG,
    OUT_OF_TURN,
    SET_BACK,
    UNEXPLAINED,
    Finding,
    LostTail,
)
from jobstatus_consumer.operations.scope import Scope
from jobstatus_consumer.records import Event, RawRecord
from jobstatus_consumer.store import CONTENT, Row, content_of

SLACK: Final = 60_000_000
"""How far, in microseconds, the clocks of the brokers and of this machine may differ."""
INSIDE: Final = "inside"
NOWHERE: Final = "nowhere"
"""The log has never had this offset."""


@dataclass(frozen=True, slots=True)
class Criteria:
    """What rows are held to.

    `exact`: the log still has every event that the rows were ever made of. `limit`: no event has this time
    (microseconds) or a later one.
    """

    exact: bool
    ignore_missing: bool = False
    show_values: bool = False
    strict: bool = False
    limit: int = MAX_OCCURRED_AT


class ReadRanges:
    """Where a row's position is: inside the ranges that were read, or why it is not.

    The ends of the log are asked for when the first row beyond the ranges is met. So make a new one after rows were
    read: what they point to is in the log by then.
    """

    def __init__(self, scope: Scope, watermarks: Callable[[], Mapping[int, Watermarks]]) -> None:
        self.partitions = {log.id: number for number, log in scope.logs.items()}
        self._ranges = {item.partition: item for item in scope.ranges}
        self._cuts = scope.cuts
        self._watermarks = watermarks
        self._now: Mapping[int, Watermarks] | None = None

    def of(self, log_id: str | None, offset: int | None) -> str:
        """`INSIDE`, `NOWHERE`, or the words that explain the row."""
        if log_id is None or offset is None:
            return NO_POSITION
        if log_id not in self.partitions:
            cut = self._cuts.get(log_id)
            is_lost = cut is not None and offset >= cut
            return LostTail(LOST_TAIL.format(log_id=log_id, cut=cut)) if is_lost else OTHER_LOG.format(log_id=log_id)
        number = self.partitions[log_id]
        if number not in self._ranges:
            return NOT_READ
        if offset < self._ranges[number].start:
            return BEFORE
        if offset < self._ranges[number].end:
            return INSIDE
        if self._now is None:
            self._now = self._watermarks()
        return NOWHERE if offset >= self._now[number].high else AFTER

    def misplaced(self, log_id: str | None, offset: int | None, *columns: str) -> Finding:
        """The finding for a row whose position is no event of its job."""
        event = f"{self.partitions[log_id or '']}:{offset}"
        return Finding("different", event, log_id, offset, columns, misplaced="log_offset" in columns)


@dataclass(slots=True)
class Suspect:
    """One row, and what the events of its job say about it."""

    row: Row
    foreign: bool = False
    """Whether the row is from a log that is none of the topic's now."""
    shown: bool = False
    """Whether the event at the row's position was read."""
    compared_at: str = ""
    """The position of the event that the row was compared with: that one, or one with the row's own event_id."""
    differing: tuple[str, ...] = ()
    """The columns that cannot be so, given that event."""
    values: Mapping[str, tuple[Any, Any]] | None = None
    behind: str | None = None
    """The position of an event that would change the row."""
    passed_over: str | None = None
    """The position of an event before the row's own that would have changed it, but was not there yet."""
    top_attempt: int = -1
    top_time: int = -1
    """The highest of the job's events; of the row's own log, up to the row's position."""
    other_log: bool = False
    rejected: bool = False
    set_back: bool = False
    """Whether the row shows, as a whole, an event before the one at its position."""
    not_taken: bool = False
    """Whether the record at the row's position is no event here."""

    def take(self, event: Event, criteria: Criteria) -> None:
        """Note one event of the job; the events of each log come in order."""
        row = self.row
        if row.log_id == event.log_id and row.log_offset is not None:
            if event.offset > row.log_offset:
                self._take_newer(event)
                return
            self._take_own(event, criteria)
        else:
            self.other_log = True
            self._take_newer(event)
            if self.foreign and row.event_id == event.content.event_id.lower():
                self._compare(event, [], criteria)
        self.top_time = max(self.top_time, event.time)
        if event.attempt is not None:
            self.top_attempt = max(self.top_attempt, event.attempt)

    def reject(self, raw: RawRecord) -> None:
        """Note a record of the job that is no event here; the consumer that wrote the row may have taken it."""
        self.rejected = True
        if (raw.log_id, raw.offset) == (self.row.log_id, self.row.log_offset):
            self.not_taken = True

    def judge(self, criteria: Criteria, places: ReadRanges) -> Finding | str | None:
        """The finding, the words that explain the row, or None where it is right."""
        if self.shown:
            return self._judge_shown(criteria)
        row = self.row
        place = places.of(row.log_id, row.log_offset)
        beyond = ("latest_occurred_at",) if (row.latest or 0) >= criteria.limit else ()
        if place == NOWHERE or (place == INSIDE and not self.not_taken):
            return places.misplaced(row.log_id, row.log_offset, "log_offset", *beyond)
        if self.differing:
            return self._finding("different", self.compared_at, self.differing, misplaced=True)
        if self.behind is not None:
            return self._finding("behind", self.behind)
        if place == BEFORE and beyond:
            return places.misplaced(row.log_id, row.log_offset, *beyond)
        return NOT_TAKEN if place == INSIDE else place

    def _take_newer(self, event: Event) -> None:
        if self.behind is None and decide(self.row.state, event) == "applied":
            self.behind = _position(event)

    def _take_own(self, event: Event, criteria: Criteria) -> None:
        """An event of the row's own log, up to the row's position."""
        if event.offset == self.row.log_offset:
            self.shown = True
            self._compare(event, self._impossible(event, criteria.limit), criteria)
            return
        if self.row.event_id == event.content.event_id.lower() and self.row.content == content_of(event.content):
            self.set_back = True
        if self.passed_over is None and self._was_without(event):
            self.passed_over = _position(event)

    def _was_without(self, event: Event) -> bool:
        """Whether the row would be another one if this event, of a lower offset, had been there when it was written."""
        attempt, own, latest = event.attempt, self.row.attempt, self.row.latest
        if attempt is not None and (own is None or attempt > own):
            return True
        return latest is not None and event.time > latest and (attempt is None or attempt == own)

    def _impossible(self, event: Event, limit: int) -> list[str]:
        """Of attempt and latest_occurred_at those that no row at this event can have."""
        found = []
        if event.attempt is not None and self.row.attempt != event.attempt:
            found.append("attempt")
        latest = self.row.latest
        # the broker's clock may be ahead of the one here
        to_come = latest is not None and latest >= limit and latest >= event.raw.timestamp * 1000 + SLACK
        if latest is None or to_come or not event.time <= latest < MAX_OCCURRED_AT:
            found.append("latest_occurred_at")
        return found

    def _compare(self, event: Event, impossible: list[str], criteria: Criteria) -> None:
        theirs, ours = self.row.content, content_of(event.content)
        columns = [name for name, row, log in zip(CONTENT, theirs, ours, strict=True) if row != log]
        self.differing = (*columns, *impossible)
        self.compared_at = _position(event)
        if criteria.show_values:
            self.values = {
                **dict(zip(CONTENT, zip(theirs, ours, strict=True), strict=True)),
                "attempt": (self.row.attempt, event.attempt),
                "latest_occurred_at": (self.row.latest, event.time),
            }

    def _judge_shown(self, criteria: Criteria) -> Finding | str | None:
        """The same for a row whose position is an event of its job."""
        if self.set_back and set(self.differing) & set(CONTENT):
            return SET_BACK
        too_high = [name for name in self._too_high() if name not in self.differing]
        sure = criteria.exact and not self.other_log and not self.rejected
        columns = (*self.differing, *(too_high if sure else ()))
        if columns:
            return self._finding("different", self.compared_at, columns)
        # it is not what all events make, though each of its values is possible, and no event would change it
        is_left = sure and self.behind is None
        out_of_turn = self.passed_over or (self.compared_at if is_left else None)
        if out_of_turn and criteria.strict:
            return self._finding("out_of_turn", out_of_turn)
        if self.behind is not None:
            return self._finding("behind", self.behind)
        if out_of_turn:
            return OUT_OF_TURN
        return UNEXPLAINED if too_high else None

    def _too_high(self) -> list[str]:
        """Of attempt and latest_occurred_at those that no event has brought."""
        found = []
        if self.row.attempt is not None and self.row.attempt > self.top_attempt:
            found.append("attempt")
        if self.row.latest is not None and self.row.latest > self.top_time:
            found.append("latest_occurred_at")
        return found

    def _finding(self, kind: Any, event: str, columns: tuple[str, ...] = (), *, misplaced: bool = False) -> Finding:
        values = None if self.values is None or not columns else {name: self.values[name] for name in columns}
        return Finding(kind, event, self.row.log_id, self.row.log_offset, columns, misplaced, values)


def _position(event: Event) -> str:
    return f"{event.raw.partition}:{event.offset}"
