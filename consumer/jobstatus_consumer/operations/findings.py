"""What verify knows of a row while it reads, and what it says of those that are not as they should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, get_args

from jobstatus_schemas.event import MAX_OCCURRED_AT

from jobstatus_consumer.core.rule import RowState
from jobstatus_consumer.operations.scope import Counts
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import Row

Kind = Literal["missing", "behind", "different", "out_of_turn"]
NAMED: Final = 100_000
"""Findings that are named, about 500 bytes each; those beyond are counted."""
OF_A_FINDING: Final = 500
SLACK: Final = 60_000_000
"""How far, in microseconds, clocks of brokers may be apart."""


class Finding(NamedTuple):
    """One row that is not what the log says. `misplaced`: its position is none of its job's events."""

    kind: Kind
    event: str
    log_id: str | None
    log_offset: int | None
    columns: tuple[str, ...] = ()
    misplaced: bool = False
    values: Mapping[str, tuple[Any, Any]] | None = None
    """by column: what the row says, what the log says; only if asked for"""

    @property
    def whole(self) -> bool:
        """Whether the row is to be what all of its job's events make of it, not what the one at its position says."""
        return self.misplaced or self.kind == "out_of_turn"

    @property
    def size(self) -> int:
        """How much room it takes, in findings of the usual size."""
        texts = (str(value) for pair in (self.values or {}).values() for value in pair)
        return 1 + sum(map(len, texts)) // OF_A_FINDING


class TrackedRow:
    """A row as it was read, and the highest attempt and time that its job's events had so far.

    Those events are of the row's own log; `other_attempt` and `other_time` are the same of other logs, where there are.
    `made`: what the rule makes of the job's events, where that is followed.
    """

    __slots__ = (
        "attempt",
        "bound",
        "counted",
        "digest",
        "event_id",
        "latest",
        "log_id",
        "log_offset",
        "made",
        "other_attempt",
        "other_time",
        "top_attempt",
        "top_time",
        "turned",
    )

    def __init__(self, row: Row, logs: Mapping[str | None, str]) -> None:
        self.attempt, self.latest, log_id, self.log_offset = row.state
        # one text for all rows of a log
        self.log_id = logs.get(log_id, log_id)
        self.digest = hash(row.content)
        # which event a row of a log shows that is not read can be told by its id alone
        self.event_id = None if log_id in logs else row.event_id
        # where a row has no time, there is nothing to be said of it
        self.bound = MAX_OCCURRED_AT if self.latest is None else self.latest
        self.top_attempt = -1
        self.top_time = 0
        self.other_attempt = -1
        self.other_time: int | None = None
        self.made: RowState | None = None
        self.counted: Kind | None = None
        self.turned = False

    @property
    def state(self) -> RowState:
        """As much of the row as the rule asks."""
        return RowState(self.attempt, self.latest, self.log_id, self.log_offset)

    @property
    def several(self) -> bool:
        """Whether the job has events in another log, too."""
        return self.other_time is not None

    def has_other(self, event: Event) -> None:
        """One more event, of another log than the row's."""
        self.other_time = max(event.time, self.other_time or 0)
        if event.attempt is not None:
            self.other_attempt = max(event.attempt, self.other_attempt)

    def was_without(self, event: Event) -> bool:
        """Whether the row, which stands behind `event`, would be another one if that event had come before it."""
        attempt, own = event.attempt, self.attempt
        if attempt is not None and (own is None or attempt > own):
            return True
        return event.time > self.bound and (attempt is None or attempt == own)

    def wrong(self, event: Event, limit: int) -> list[str]:
        """Of attempt and latest_occurred_at those that cannot be so with the event at the row's position.

        No event has a time of `limit` or later.
        """
        wrong = []
        if event.attempt is not None and self.attempt != event.attempt:
            wrong.append("attempt")
        latest = self.latest
        if latest is None or not event.time <= latest < MAX_OCCURRED_AT:
            wrong.append("latest_occurred_at")
        elif latest >= limit and latest >= event.raw.timestamp * 1000 + SLACK:
            # the broker's clock may be ahead of the one here
            wrong.append("latest_occurred_at")
        return wrong

    def too_high(self, event: Event) -> list[str]:
        """Of attempt and latest_occurred_at those that no event of the row's own log has brought, up to `event`."""
        high = []
        if event.attempt is None and self.attempt is not None and self.attempt > self.top_attempt:
            high.append("attempt")
        if self.latest is not None and self.latest > self.top_time:
            high.append("latest_occurred_at")
        return high

    def is_unexplained(self) -> bool:
        """Whether attempt or time is higher than that of any event of the job that was read."""
        if self.attempt is not None and self.attempt > max(self.top_attempt, self.other_attempt):
            return True
        return self.latest is not None and self.latest > max(self.top_time, self.other_time or 0)


@dataclass(slots=True)
class Report:
    """What was found, and what was explained. `exact`: nothing that could excuse an attempt or a time is missing."""

    counts: Counts = field(default_factory=Counts)
    findings: dict[str, Finding] = field(default_factory=dict)
    more: Counter[Kind] = field(default_factory=Counter)
    """findings beyond those that are named"""
    out_of_turn: dict[str, Finding] = field(default_factory=dict)
    """findings only for those who ask: a table with dead letters has such rows rightly"""
    more_out_of_turn: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    exact: bool = False
    complete: bool = False
    seconds: float = 0.0
    room: int = field(default_factory=lambda: NAMED)

    def kinds(self) -> dict[str, int]:
        """How many of each kind."""
        found: dict[str, int] = {kind: self.more[kind] for kind in get_args(Kind)}
        for item in self.findings.values():
            found[item.kind] += 1
        return found

    @property
    def total(self) -> int:
        """How many rows are not what the log says."""
        return len(self.findings) + self.more.total()

    def add(self, job_id: str, finding: Finding, known: TrackedRow | None = None) -> None:
        """Note what is wrong with a job's row; where something is known already, the row that differs says more.

        Without room it is counted, once for each `known`.
        """
        before = self.findings.get(job_id)
        if before is None and self.room <= 0:
            self._count(finding.kind, known)
        elif before is None or finding.kind in ("different", "out_of_turn"):
            self.findings[job_id] = finding
            self.room -= finding.size - (0 if before is None else before.size)

    def _count(self, kind: Kind, known: TrackedRow | None) -> None:
        if known is not None:
            if known.counted == kind or (known.counted is not None and kind == "behind"):
                return
            if known.counted is not None:
                self.more[known.counted] -= 1
            known.counted = kind
        self.more[kind] += 1

    def add_out_of_turn(self, job_id: str, finding: Finding, known: TrackedRow) -> None:
        """Note, once, a row that was written without an event before its own."""
        if known.turned:
            return
        known.turned = True
        if len(self.out_of_turn) < NAMED:
            self.out_of_turn.setdefault(job_id, finding)
        elif job_id not in self.out_of_turn:
            self.more_out_of_turn += 1
