"""Counts what one write does, statement by statement."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from jobstatus_consumer.core import RowState, Statement, decide
from jobstatus_consumer.errors import BadRowError
from jobstatus_consumer.records import Event, Rejected, Written


class WriteCounts:
    """The counts of one batch. At the end they add up to its events."""

    def __init__(self) -> None:
        self.applied = 0
        self.merged = 0
        self.statements = 0
        self.stale: Counter[str] = Counter()
        self.rejected: list[Rejected] = []

    def sent(self, statement: Statement) -> None:
        """Count a statement that was written."""
        self.statements += 1
        self.merged += sum(map(len, statement.merged.values()))

    def explain(self, events: Sequence[Event], stale: int, rows: Mapping[str, RowState]) -> None:
        """Count `stale` of these events by the reason why they changed nothing, judged by the rows as they are now.

        A row at its event's own position was written either just now or by the same event before. So events that the
        other rows do not explain are counted as redelivered. A row that another writer has moved on since is taken
        for one that refused its event.
        """
        reasons: Counter[str] = Counter()
        for event in events:
            row = rows.get(event.job_id)
            if row is None or (row.log_id, row.log_offset) == (event.log_id, event.offset):
                continue
            reasons[decide(row, event)] += 1
        del reasons["applied"]
        while reasons.total() > stale:
            reasons[reasons.most_common(1)[0][0]] -= 1
        reasons["redelivered"] += stale - reasons.total()
        self.stale.update(+reasons)

    def reject(self, event: Event, error: BadRowError) -> None:
        """Count an event whose row can never be written. The detail holds no value of the row."""
        where = f", {error.where}" if error.where else ""
        code = f" ({error.sqlstate})" if error.sqlstate else ""
        self.rejected.append(
            Rejected(
                raw=event.raw,
                stage="write",
                reason=_snake(error.error_class) if error.sqlstate else "unencodable",
                detail=f"PostgreSQL cannot take the row: {error.error_class}{code}{where}",
                error_class=error.error_class,
                sqlstate=error.sqlstate or "",
                where=error.where,
            )
        )

    def leave_out(self, event: Event) -> None:
        """Count an event whose row the server accepts without an error and does not write."""
        detail = "PostgreSQL took the row and did not write it; does a BEFORE trigger of the table return NULL?"
        self.rejected.append(Rejected(raw=event.raw, stage="write", reason="left_out", detail=detail))

    def written(self, seconds: float) -> Written:
        """The counts as the result of the write."""
        return Written(
            applied=self.applied,
            merged=self.merged,
            stale=dict(self.stale),
            rejected=tuple(self.rejected),
            statements=self.statements,
            seconds=seconds,
        )


def unexplained(events: Sequence[Event], stale: int, rows: Mapping[str, RowState]) -> list[Event]:
    """Of these events, of which `stale` changed nothing: those whose row is missing, or would take the event now.

    None if the other events account for all that changed nothing: then another session has changed the rows since.
    """
    found, refused = [], 0
    for event in events:
        row = rows.get(event.job_id)
        if row is None:
            found.append(event)
        elif (row.log_id, row.log_offset) != (event.log_id, event.offset):
            if decide(row, event) == "applied":
                found.append(event)
            else:
                refused += 1
    return found if refused < stale else []


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
