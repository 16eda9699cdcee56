"""The newest comparison of the table with the log."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from jobstatus_consumer.console.background import Verified
from jobstatus_consumer.console.context import context_of
from jobstatus_consumer.console.rendering import as_json, iso, render
from jobstatus_consumer.console.watch import Seen

FINDINGS: Final = 100
"""Findings that are listed."""
NOT_ASKED: Final[Seen[Verified]] = Seen()


async def page(request: Request) -> Response:
    """`GET /verify`."""
    watch = context_of(request).live.verified
    seen = NOT_ASKED if watch is None else watch.seen
    findings = [] if seen.value is None else list(seen.value.report.findings.items())[:FINDINGS]
    return render(request, "verify.html", title="Verify", seen=seen, findings=findings)


async def api(request: Request) -> Response:
    """`GET /api/verify`."""
    context = context_of(request)
    watch = context.live.verified
    seen = NOT_ASKED if watch is None else watch.seen
    return as_json({"every": context.options.verify_every, "compared_at": iso(seen.at), **_result(seen)})


def _result(seen: Seen[Verified]) -> dict[str, Any]:
    if seen.value is None:
        return {"right": None, "problem": None if seen.problem is None else str(seen.problem)}
    report = seen.value.report
    return {
        "right": seen.value.is_right,
        "problem": None if seen.problem is None else str(seen.problem),
        "events": report.counts.events,
        "seconds": round(report.seconds, 3),
        "findings": report.kinds(),
        "explained": dict(report.explained),
        "named": {
            job_id: {"kind": item.kind, "event": item.event, "columns": list(item.columns)}
            for job_id, item in list(report.findings.items())[:FINDINGS]
        },
    }
