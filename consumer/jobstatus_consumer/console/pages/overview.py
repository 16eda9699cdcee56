"""The overview: how far the table is behind the log, who reads, what is waited for, rows by status."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from jobstatus_consumer.console.context import context_of
from jobstatus_consumer.console.live import Live, Snapshot
from jobstatus_consumer.console.rendering import as_json, iso, render


async def page(request: Request) -> Response:
    """`GET /`."""
    return render(request, "overview.html", title="Overview")


async def api(request: Request) -> Response:
    """`GET /api/overview`."""
    context = context_of(request)
    return as_json(as_dict(context.settings.group_id, context.live.snapshot(), context.live))


def as_dict(group: str, snapshot: Snapshot, live: Live) -> dict[str, Any]:
    """The snapshot for programs; null stands for what is not known."""
    trend, letters = live.trends.latest, live.letters.seen.value
    report, rows = snapshot.report, snapshot.rows
    broker = report.broker
    return {
        "time": iso(snapshot.at),
        "true_at": iso(snapshot.true_at),
        "stale": snapshot.stale,
        "database_clock_ahead_seconds": snapshot.clock_ahead,
        "problems": [str(error) for error in report.problems],
        "group": group,
        "state": None if broker is None else broker.group.state,
        "members": None if broker is None else [item._asdict() for item in broker.group.members],
        "lag": report.lag,
        "lag_seconds": trend.lag_seconds,
        "freshness_seconds": trend.freshness,
        "events_per_second": trend.speed,
        "partitions": [item.as_dict() for item in report.partitions],
        "last_write": iso(report.last_write),
        "rows": None if rows.value is None else rows.value.by_status,
        "rows_exact": None if rows.value is None else rows.value.exact,
        "rows_counted_at": iso(rows.at),
        "rows_estimated": None if rows.value is None else rows.value.estimated,
        "open_dead_letters": None if letters is None else letters.open,
        "waiting_for": list(report.waiting_for),
    }
