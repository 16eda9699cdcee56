"""The worked examples of docs/design.md as values: `@A5 #2 late t30` is offset 5 of log A, attempt 2, late, time 30."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from jobstatus_consumer.core.rule import RowState
from jobstatus_consumer.records import Event
from law.events import LOG_A, LOG_B, NOON, event

DESIGN = Path(__file__).resolve().parents[2] / "docs" / "design.md"
LOGS = {"A": LOG_A, "B": LOG_B}


class Notation(NamedTuple):
    """What stands between the backticks; what is not said is None."""

    log_id: str | None
    offset: int | None
    attempt: int | None
    late: bool
    time: int | None

    def event(self) -> Event:
        assert self.log_id is not None
        assert self.offset is not None
        return event(
            "job-1", self.offset, attempt=self.attempt, time=self.time or 0, late=self.late, log_id=self.log_id
        )

    def row(self) -> RowState:
        latest = None if self.time is None else NOON + self.time
        return RowState(self.attempt, latest, self.log_id, self.offset)


class RuleExample(NamedTuple):
    clause: str
    before: RowState | None
    event: Event
    outcome: str
    after: RowState


class FoldExample(NamedTuple):
    first: Event
    second: Event
    merged: bool
    why: str


def rule_examples() -> list[RuleExample]:
    return [
        RuleExample(clause, None if row == "none" else read(row).row(), read(event).event(), outcome, read(after).row())
        for clause, row, event, outcome, after in _table("rule")
    ]


def fold_examples() -> list[FoldExample]:
    return [
        FoldExample(read(first).event(), read(second).event(), {"yes": True, "no": False}[merged], why)
        for first, second, merged, why in _table("fold")
    ]


def read(text: str) -> Notation:
    match = re.fullmatch(r"`(?:@([AB])(\d+) ?)?(?:#(\d+) ?)?(late ?)?(?:t(\d+))?`", text)
    assert match, text
    log, offset, attempt, late, time = match.groups()
    return Notation(LOGS.get(log), _number(offset), _number(attempt), bool(late), _number(time))


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _table(kind: str) -> list[list[str]]:
    """The rows of the table below the comment that names its kind, head and rule left out."""
    _, _, after = DESIGN.read_text("utf-8").partition(f"<!-- examples: {kind} -->\n")
    lines = after.split("\n\n")[0].splitlines()[2:]
    assert lines, kind
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
