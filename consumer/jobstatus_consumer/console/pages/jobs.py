"""The list of jobs: filters, and pages that are found by their first job and not by a number."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from jobstatus_consumer.console.context import Context, context_of
from jobstatus_consumer.console.live import Rows
from jobstatus_consumer.console.rendering import as_json, iso, job_path, render
from jobstatus_consumer.durations import ALLOWED, parse_duration
from jobstatus_consumer.errors import DatabaseAwayError, JobStatusError
from jobstatus_consumer.store import JobFilter, JobLine, JobPage, JobPlace

ROWS: Final = 50
SEARCH_SECONDS: Final = 0.15
"""How long the table is searched for a page with filters."""
ANSWER_SECONDS: Final = 1.8
SMALL: Final = 300_000
"""Rows up to which the order of time is the usual one: no index has it."""
OFFERED: Final = 100
"""Statuses that the form offers; of more, one may be typed."""
ORDERS: Final = ("newest", "id")
FIELDS: Final = ("status", "worker", "text", "within", "silent", "order")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the query of a request asks for; texts are as they were typed."""

    given: Mapping[str, str]
    filter: JobFilter
    order: str
    after: JobPlace

    def link(self, path: str, place: JobPlace | None = None, **changed: str) -> str:
        """Return the path of a page with these filters, from `place` on."""
        pairs = {**self.given, **changed}
        if place is not None:
            pairs |= {"after": place.job_id, "latest": "" if place.latest is None else str(place.latest)}
        kept = {name: value for name, value in pairs.items() if value}
        return f"{path}?{urlencode(kept)}" if kept else path


async def page(request: Request) -> Response:
    """`GET /jobs`. With `id` alone: to the page of that job."""
    if request.query_params.get("id"):
        return RedirectResponse(job_path(request.query_params["id"]), 303)
    context = context_of(request)
    wanted, trouble, found = None, "", None
    try:
        wanted = wanted_of(request, context)
        found, trouble = await _listed(context, wanted)
    except ValueError as error:
        wanted, trouble = _everything(request), str(error)
    rows = context.live.rows.seen
    return render(
        request,
        "jobs.html",
        title="Jobs",
        wanted=wanted,
        found=found,
        trouble=trouble,
        statuses=_offered(rows.value),
        more_statuses=rows.value is not None and len(rows.value.by_status) > OFFERED,
        rows=rows,
    )


def _offered(rows: Rows | None) -> list[str]:
    """The statuses of the most rows, by name: a page with thousands of them would not come in time."""
    if rows is None:
        return []
    most = sorted(rows.by_status.items(), key=lambda item: -item[1])[:OFFERED]
    return sorted(status for status, _ in most)


async def api(request: Request) -> Response:
    """`GET /api/jobs`."""
    context = context_of(request)
    try:
        wanted = wanted_of(request, context)
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
    found, trouble = await _listed(context, wanted)
    if found is None:
        raise HTTPException(503, trouble)
    following = None if found.following is None else wanted.link("/api/jobs", found.following)
    return as_json({"jobs": [_line(job) for job in found.jobs], "searched": found.searched, "next": following})


def wanted_of(request: Request, context: Context) -> Wanted:
    """Read the query; raises `ValueError`, which says what is allowed."""
    query = request.query_params
    given = {name: query[name] for name in FIELDS if query.get(name)}
    if any("\0" in value for value in query.values()):
        raise ValueError("no text of a job has a NUL character")
    now = time.time()
    since, until = (_before(now, name, given.get(name)) for name in ("within", "silent"))
    order = given.get("order") or _usual_order(context)
    if order not in ORDERS:
        raise ValueError(f"order: wanted {' or '.join(ORDERS)}")
    latest = query.get("latest", "")
    if latest and not latest.removeprefix("-").isdecimal():
        raise ValueError("latest: wanted a number of microseconds")
    wanted = JobFilter(given.get("status"), given.get("worker"), given.get("text"), since, until)
    place = JobPlace(query.get("after", ""), int(latest) if latest and len(latest) < 19 else None)
    return Wanted(given, wanted, order, place)


def _everything(request: Request) -> Wanted:
    given = {name: request.query_params[name] for name in FIELDS if request.query_params.get(name)}
    return Wanted(given, JobFilter(), "id", JobPlace())


def _before(now: float, name: str, text: str | None) -> int | None:
    try:
        return None if text is None else int((now - parse_duration(text)) * 1e6)
    except ValueError:
        raise ValueError(f"{name}: {text!r} is not a length of time; allowed: {ALLOWED}") from None


def _usual_order(context: Context) -> str:
    rows = context.live.rows.seen.value
    return "newest" if rows is not None and sum(rows.by_status.values()) <= SMALL else "id"


async def _listed(context: Context, wanted: Wanted) -> tuple[JobPage | None, str]:
    """The page, or None and why there is none."""
    table = context.live.table.seen
    if table.problem is not None:
        return None, str(table.problem)
    try:
        return await context.questions.ask(lambda: _ask(context, wanted), ANSWER_SECONDS), ""
    except DatabaseAwayError as error:
        slow = " Order by id: that needs no index." if wanted.order == "newest" else ""
        return None, f"{error}.{slow}"
    except JobStatusError as error:
        return None, str(error)


def _ask(context: Context, wanted: Wanted) -> JobPage:
    if wanted.order == "newest":
        return context.sources.lists.use(lambda jobs: jobs.newest(wanted.filter, wanted.after, ROWS))
    return context.sources.lists.use(lambda jobs: jobs.by_id(wanted.filter, wanted.after, ROWS, SEARCH_SECONDS))


def _line(job: JobLine) -> dict[str, Any]:
    latest = None if job.latest is None else iso(job.latest / 1e6)
    return {
        "job_id": job.job_id,
        "status": job.status,
        "attempt": job.attempt,
        "worker_id": job.worker_id,
        "error_message": job.message,
        "latest": latest,
    }
