"""What `verify` reports: findings, which an operator can repair, and rows that are explained, which are no fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, get_args

from jobstatus_consumer.operations.scope import ReadCounts

Kind = Literal["missing", "behind", "different", "out_of_turn"]
NAMED: Final = 100_000
"""Findings that are named, about 500 bytes each; those beyond are counted."""
USUAL_TEXT: Final = 500
"""Characters of values in a finding that count as much as one more finding."""

# why a row is explained; {log_id} is filled in
NO_POSITION: Final = "written by somebody else (no position)"
OTHER_LOG: Final = "from a log that is gone or not this topic's: {log_id}"
LOST_TAIL: Final = "from the tail that {log_id} lost: its log was cut at offset {cut}"
NOT_READ: Final = "of a partition that was not read"
BEFORE: Final = "at an event before the stretch, or removed by retention"
AFTER: Final = "at an event after the stretch"
NOT_TAKEN: Final = "at a record that this version, or these --statuses, do not take"
OUT_OF_TURN: Final = "written without an event before theirs that would have counted; --strict names them"
PURGED: Final = "purged: jobstatus purge removed their rows, and no newer event has come"
SET_BACK: Final = "set back to an earlier event by replay --undo"
UNEXPLAINED: Final = (
    "with an attempt or a time that no event read has: that event may be removed, of another log, or not taken"
)


class LostTail(str):
    """The words that explain a row which was made of a record that its log has lost: such rows are named."""

    __slots__ = ()


class Finding(NamedTuple):
    """One row that is not what the log says, or a job without one.

    `event` is the position `P:N` of the event that shows it. `misplaced`: no event of the job is at the row's position.
    """

    kind: Kind
    event: str
    log_id: str | None
    log_offset: int | None
    columns: tuple[str, ...] = ()
    misplaced: bool = False
    values: Mapping[str, tuple[Any, Any]] | None = None
    """By column, the row's value and the log's; only with --show-values."""

    @property
    def from_all_events(self) -> bool:
        """Whether repair makes the row from all events of the job, not from the one event at its position."""
        return self.misplaced or self.kind == "out_of_turn"

    @property
    def size(self) -> int:
        """The memory that it takes, in findings of the usual size."""
        texts = (str(value) for pair in (self.values or {}).values() for value in pair)
        return 1 + sum(map(len, texts)) // USUAL_TEXT


@dataclass(slots=True)
class VerifyReport:
    """The result of one `verify`. Each row and each missing job is counted once: right, a finding, or explained."""

    counts: ReadCounts = field(default_factory=ReadCounts)
    findings: dict[str, Finding] = field(default_factory=dict)
    more: Counter[Kind] = field(default_factory=Counter)
    """Findings beyond those that are named."""
    explained: Counter[str] = field(default_factory=Counter)
    lost_tail: list[str] = field(default_factory=list)
    """The jobs whose rows are from a tail that their log has lost; the first `NAMED` of them."""
    exact: bool = False
    """Whether the log still has every event that these rows were ever made of."""
    complete: bool = False
    seconds: float = 0.0
    room: int = field(default_factory=lambda: NAMED)

    def kinds(self) -> dict[str, int]:
        """The number of findings of each kind."""
        found: dict[str, int] = {kind: self.more[kind] for kind in get_args(Kind)}
        for item in self.findings.values():
            found[item.kind] += 1
        return found

    @property
    def total(self) -> int:
        """The number of findings, named or not."""
        return len(self.findings) + self.more.total()

    def add(self, job_id: str, verdict: Finding | str | None) -> None:
        """Add what was found out about one job: a finding, the reason that explains its row, or None if it is right."""
        if isinstance(verdict, str):
            self.explained[verdict] += 1
            if isinstance(verdict, LostTail) and len(self.lost_tail) < NAMED:
                self.lost_tail.append(job_id)
        elif verdict is not None and self.room > 0:
            self.findings[job_id] = verdict
            self.room -= verdict.size
        elif verdict is not None:
            self.more[verdict.kind] += 1
