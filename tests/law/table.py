"""The real table as the model sees it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from law.model import Row, Table
from psycopg import Connection

_MICROS = "(extract(epoch FROM {0}) * 1000000)::bigint"
_READ = (
    f"SELECT job_id, status, error_message, attempt, worker_id, {_MICROS.format('occurred_at')}, event_id::text,"
    f" {_MICROS.format('latest_occurred_at')}, log_id, log_offset FROM jobs"
)
_WRITE = (
    "INSERT INTO jobs (job_id, status, error_message, attempt, worker_id, occurred_at, event_id, latest_occurred_at,"
    " log_id, log_offset) VALUES (%s, %s, %s, %s, %s, {0}, %s, {0}, %s, %s)"
).format("'epoch'::timestamptz + %s * interval '1 microsecond'")


_WRITE_PURGED = (
    "INSERT INTO jobs_purged (job_id, attempt, latest_occurred_at, log_id, log_offset, purged_at) VALUES (%s, %s, {},"
    " %s, %s, now())"
).format("'epoch'::timestamptz + %s * interval '1 microsecond'")
_READ_PURGED = (
    f"SELECT job_id, attempt, {_MICROS.format('latest_occurred_at')}, log_id, log_offset FROM jobs_purged AS p"
    " WHERE NOT EXISTS (SELECT FROM jobs WHERE jobs.job_id = p.job_id)"
)


def read(connection: Connection[Any]) -> Table:
    """What is in the table, and what purges have left of jobs without a row."""
    rows = {job_id: Row(*rest) for job_id, *rest in connection.execute(_READ)}
    for job_id, attempt, latest, log, offset in connection.execute(_READ_PURGED):
        rows[job_id] = Row(attempt=attempt, latest=latest, log=log, offset=offset, purged=True)
    return rows


def replace(connection: Connection[Any], rows: Mapping[str, Row]) -> None:
    """Put exactly these rows into the table; a row that was purged goes where purges leave its state."""
    connection.execute("DELETE FROM jobs")
    connection.execute("DELETE FROM jobs_purged")
    for job_id, row in rows.items():
        if row.purged:
            connection.execute(_WRITE_PURGED, (job_id, row.attempt, row.latest, row.log, row.offset))
            continue
        connection.execute(
            _WRITE,
            (
                job_id,
                row.status,
                row.error_message,
                row.attempt,
                row.worker_id,
                row.occurred_at,
                row.event_id,
                row.latest,
                row.log,
                row.offset,
            ),
        )


def updated_at(connection: Connection[Any], job_id: str) -> datetime:
    """When the row last changed."""
    row = connection.execute("SELECT updated_at FROM jobs WHERE job_id = %s", (job_id,)).fetchone()
    assert row is not None
    found: datetime = row[0]
    return found
