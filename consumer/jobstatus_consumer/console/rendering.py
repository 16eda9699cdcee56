"""Pages from templates, JSON for programs, and the words in which both show numbers, times and foreign texts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from jobstatus_consumer.console.context import context_of
from jobstatus_consumer.console.guard import user_of
from jobstatus_consumer.durations import shown_duration
from jobstatus_consumer.words import counted, escaped, rfc3339, rfc3339_of

SHAPES: Final[Mapping[str, str]] = {
    "success": "✓",
    "succeeded": "✓",
    "completed": "✓",
    "done": "✓",
    "error": "✕",
    "failed": "✕",
    "failure": "✕",
    "dead": "✕",
    "processing": "▶",
    "running": "▶",
    "started": "▶",
    "pending": "○",
    "queued": "○",
    "scheduled": "○",
    "retry": "↻",
    "retrying": "↻",
    "cancelled": "⊘",
    "canceled": "⊘",
}
"""The shape beside a status; a status is never told by its colour alone."""
KINDS: Final[Mapping[str, str]] = {"✓": "good", "✕": "bad", "▶": "busy", "○": "idle", "↻": "warn", "⊘": "idle"}
PAGES: Final = (
    ("/", "Overview"),
    ("/jobs", "Jobs"),
    ("/stuck", "Stuck"),
    ("/dead-letters", "Dead letters"),
    ("/consumers", "Consumers"),
    ("/verify", "Verify"),
    ("/audit", "Audit"),
)
"""The menu: path and title."""


def render(request: Request, template: str, code: int = 200, /, **values: Any) -> Response:
    """Return a page."""
    return HTMLResponse(html(request, template, **values), code)


def html(request: Request, template: str, **values: Any) -> str:
    """Return a template's text for this request."""
    context = context_of(request)
    snapshot = values.pop("snapshot", None) or context.live.snapshot()
    return _TEMPLATES.get_template(template).render(
        settings=context.settings,
        options=context.options,
        access=context.access,
        user=user_of(request),
        path=request.url.path,
        menu=PAGES,
        snapshot=snapshot,
        letters=context.live.letters,
        verified=None if context.live.verified is None else context.live.verified.seen,
        trend=context.live.trends.latest,
        now=time.time(),
        **values,
    )


def as_json(document: Any, code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON document. Times are RFC 3339 in UTC."""
    return Response(orjson.dumps(document), code, headers, "application/json")


def job_path(job_id: str) -> str:
    """Return the page of a job. A browser drops a path that ends with dots, so these two ids are in the query."""
    return f"/jobs/{quote(job_id, safe='')}" if job_id not in (".", "..") else f"/job?id={job_id}"


def iso(seconds: float | None) -> str | None:
    """Return a time (seconds since 1970-01-01 UTC) in RFC 3339; None for None."""
    return None if seconds is None else rfc3339(datetime.fromtimestamp(seconds, UTC))


def clock(seconds: float | None, now: float | None = None) -> str:
    """Return a time as a person reads it: only the hour if it is of today, in UTC."""
    if seconds is None:
        return "never"
    at, today = datetime.fromtimestamp(seconds, UTC), datetime.fromtimestamp(now or time.time(), UTC).date()
    return at.strftime("%H:%M:%S" if at.date() == today else "%Y-%m-%d %H:%M:%S")


def micros_clock(micros: int | None, now: float | None = None) -> str:
    """As `clock`, for an event's time in microseconds; a time that is no date is shown as its number."""
    try:
        return "unknown" if micros is None else clock(micros / 1e6, now)
    except (OverflowError, ValueError, OSError):
        return rfc3339_of(micros or 0)


def ago(seconds: float | None, now: float | None = None) -> str:
    """Return how long ago a time was, such as `3m 5s ago`; a clock that is ahead counts as now."""
    if seconds is None:
        return "never"
    gone = (now or time.time()) - seconds
    return f"{shown_duration(gone)} ago" if gone >= 1 else "now"


def precise(seconds: float) -> str:
    """Return a length of time, below a minute with its fraction: `120 ms`, `3.2 s`, `4m 10s`.

    A length below zero, of two clocks that differ, counts as none.
    """
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else shown_duration(seconds)


def brief_text(text: str, most: int = 80) -> str:
    """Return the beginning of a text with its unprintable characters escaped."""
    shown = escaped(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def number(value: float | None) -> str:
    """Return a number with its thousands apart; a dash for None."""
    return "–" if value is None else f"{value:,.0f}"


def shape(status: str | None) -> str:
    """Return the shape of a status."""
    return SHAPES.get((status or "").lower(), "◆")


def kind(status: str | None) -> str:
    """Return the class of a status's colour."""
    return KINDS.get(shape(status), "other")


_TEMPLATES: Final = Environment(
    loader=PackageLoader("jobstatus_consumer.console"),
    autoescape=True,
    # a template of a newer version, put in place while this one runs, would not fit it
    auto_reload=False,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "ago": ago,
    "brief": brief_text,
    "clock": clock,
    "counted": counted,
    "duration": shown_duration,
    "iso": iso,
    "job_path": job_path,
    "kind": kind,
    "micros_clock": micros_clock,
    "number": number,
    "precise": precise,
    "query": lambda text: quote(str(text), safe=""),
    "shape": shape,
    "visible": escaped,
    "visible_lines": lambda text: escaped(text, lines=True),
}
