"""Jobs that have been silent for longer than the deadline of their status."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from jobstatus_consumer.console.context import context_of
from jobstatus_consumer.console.rendering import as_json, iso, render


async def page(request: Request) -> Response:
    """`GET /stuck`."""
    context = context_of(request)
    return render(
        request,
        "stuck.html",
        title="Stuck",
        seen=context.live.overdue.seen,
        deadlines=context.settings.deadlines or {},
    )


async def api(request: Request) -> Response:
    """`GET /api/stuck`."""
    context = context_of(request)
    seen = context.live.overdue.seen
    if seen.value is None:
        raise HTTPException(503, str(seen.problem or "the table is being read; ask again in a moment"))
    jobs = [{**job._asdict(), "since": iso(job.since)} for job in seen.value.jobs]
    deadlines = dict(context.settings.deadlines or {})
    return as_json({"read_at": iso(seen.at), "deadlines": deadlines, "counts": dict(seen.value.counts), "jobs": jobs})
