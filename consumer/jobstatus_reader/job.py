"""One row of the managed table: its columns, and how they are read. `docs/reference/table.md` explains each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Row = Sequence[Any]
"""A row of `selected`, as the driver gives it."""
TIMES: Final = ("occurred_at", "latest_occurred_at", "updated_at")
"""The columns with times. They are read as numbers, so that no setting of a session changes them."""


@dataclass(frozen=True, slots=True)
class Job:
    """The state of one job: the event that counts, and where it came from. Times are in UTC.

    Of a row that another program wrote, every field but `job_id` may be None. A time that no `datetime` can hold, which
    only another program can write, is None too.
    """

    job_id: str
    status: str | None
    error_message: str | None
    attempt: int | None
    worker_id: str | None
    occurred_at: datetime | None
    """when the event happened, by the worker's clock"""
    event_id: UUID | None
    latest_occurred_at: datetime | None
    """the highest time of all events of the job, none of them later than the broker's append time"""
    log_id: str | None
    """the log that the event came from: topic, topic id and partition"""
    log_offset: int | None
    """the event's offset in that log"""
    updated_at: datetime | None
    """when the row was written, by the database's clock"""

    @classmethod
    def of_row(cls, row: Row) -> Job:
        """The job of a row of `selected`."""
        given = dict(zip(COLUMNS, row, strict=True))
        return cls(**given | {name: _time(given[name]) for name in TIMES})

    def as_dict(self) -> dict[str, Any]:
        """The columns by name, ready for JSON: times in RFC 3339 with microseconds, the event's id as text."""
        found: dict[str, Any] = {name: getattr(self, name) for name in COLUMNS}
        found["event_id"] = None if self.event_id is None else str(self.event_id)
        for name in TIMES:
            found[name] = None if found[name] is None else _rfc3339(found[name])
        return found


COLUMNS: Final = tuple(item.name for item in fields(Job))
"""The columns of the managed table, in its order."""
JOB_ID: Final = COLUMNS.index("job_id")
STATUS: Final = COLUMNS.index("status")
"""Places in a row of `selected`."""


def selected() -> str:
    """The list of columns after SELECT, from a table named `t`."""
    return ", ".join(_micros(name) if name in TIMES else f"t.{name}" for name in COLUMNS)


def _micros(name: str) -> str:
    return f"CASE WHEN isfinite(t.{name}) THEN (extract(epoch FROM t.{name}) * 1000000)::bigint END"


def _time(micros: int | None) -> datetime | None:
    try:
        return None if micros is None else _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return None


def _rfc3339(instant: datetime) -> str:
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")
