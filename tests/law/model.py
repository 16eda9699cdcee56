"""The law in its smallest form: the events of a history, one by one, under the rule as the design states it.

Written from docs/design.md alone, sharing no code with the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from jobstatus_consumer.records import Event


@dataclass(frozen=True)
class Row:
    """A row of the table. `log` is where its state came from; None in a row that somebody else wrote.

    `purged`: the row is removed, and only its state is kept. It has no content then.
    """

    status: str | None = None
    error_message: str | None = None
    attempt: int | None = None
    worker_id: str | None = None
    occurred_at: int | None = None
    event_id: str | None = None
    latest: int | None = None
    log: str | None = None
    offset: int | None = None
    purged: bool = False


Table = dict[str, Row]


def changes(row: Row | None, event: Event) -> bool:
    """Whether the event changes the row."""
    if row is None:
        return True
    lower = event.attempt is not None and row.attempt is not None and event.attempt < row.attempt
    higher = event.attempt is not None and (row.attempt is None or event.attempt > row.attempt)
    newer = row.latest is None or event.time > row.latest
    if lower:
        return False
    if row.log is None:
        return True
    if row.log == event.log_id:
        assert row.offset is not None
        return event.offset > row.offset and (not event.late or higher or newer)
    return higher or newer


def applied(row: Row | None, event: Event) -> Row | None:
    """The row after the event."""
    if not changes(row, event):
        return row
    content, attempt, latest = event.content, event.attempt, event.time
    if row is not None and attempt is None:
        attempt = row.attempt
    if row is not None and row.log is not None and row.latest is not None:
        latest = max(latest, row.latest)
    return Row(
        content.status,
        content.error_message,
        attempt,
        content.worker_id,
        content.occurred_at,
        content.event_id,
        latest,
        event.log_id,
        event.offset,
    )


def one_by_one(table: Mapping[str, Row], events: Iterable[Event]) -> Table:
    """The table after all events, each applied alone, in this order."""
    result = dict(table)
    for event in events:
        row = applied(result.get(event.job_id), event)
        if row is not None:
            result[event.job_id] = row
    return result


def purge(table: Mapping[str, Row], jobs: Iterable[str]) -> Table:
    """The table after the rows of these jobs were purged: only what the rule compares is left of them.

    A row that somebody else wrote stays: it has no position to keep.
    """
    result = dict(table)
    for job_id in jobs:
        row = result.get(job_id)
        if row is not None and row.log is not None:
            result[job_id] = Row(attempt=row.attempt, latest=row.latest, log=row.log, offset=row.offset, purged=True)
    return result


def foreign(attempt: int | None, latest: int | None) -> Row:
    """A row that somebody else wrote."""
    return replace(Row(status="theirs"), attempt=attempt, latest=latest)
