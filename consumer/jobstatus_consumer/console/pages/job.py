"""One job: its row, every retained event and why it counts or not, time in each status, attempts, dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from jobstatus_consumer.console.context import Context, context_of
from jobstatus_consumer.console.paths import job_of
from jobstatus_consumer.console.rendering import as_json, iso, render
from jobstatus_consumer.errors import JobStatusError
from jobstatus_consumer.operations import (
    Bounds,
    HistoryEntry,
    JobFacts,
    Stay,
    read_job,
    read_letters,
    row_alone,
    shown_ms,
    stored,
)
from jobstatus_consumer.store import RowBeside, TargetTable, open_read_only, target_of
from jobstatus_consumer.words import rfc3339_of

QUICK: Final = Bounds(events=100_000, seconds=0.8)
"""How much of the log is read at first."""
LONG: Final = Bounds(events=5_000_000, seconds=15.0)
"""How much is read for a user who asks for more."""
LETTER_SECONDS: Final = 0.4
ANSWER_SECONDS: Final = 1.0
"""Beyond the time of reading."""
SHOWN: Final = 300
"""Events of a timeline that are shown, the newest ones."""
STRIP: Final = 1000
"""The width of the strip of statuses, in units of its own."""


class Part(NamedTuple):
    """One status in the strip: where it begins and how wide it is, of `STRIP`."""

    stay: Stay
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Found:
    """What a page of a job shows; `trouble` says what could not be found out."""

    facts: JobFacts | None
    beside: RowBeside | None = None
    trouble: tuple[str, ...] = ()


async def page(request: Request) -> Response:
    """`GET /jobs/{job_id}`, and `GET /job?id=` for ids that cannot stand in a path."""
    job_id = job_of(request)
    more = request.query_params.get("read") == "more"
    found = await find(context_of(request), job_id, LONG if more else QUICK)
    facts = found.facts
    code = 503 if facts is None else 200 if facts.is_known else 404
    return render(
        request,
        "job.html",
        code,
        title=job_id if len(job_id) <= 60 else f"{job_id[:60]}…",
        job_id=job_id,
        found=found,
        facts=facts,
        more=more,
        events=() if facts is None else facts.history.items[-SHOWN:],
        strip=() if facts is None else strip_of(facts.stays, facts),
    )


async def history_api(request: Request) -> Response:
    """`GET /api/jobs/{job_id}/history`."""
    job_id = job_of(request)
    found = await find(context_of(request), job_id, LONG if request.query_params.get("read") == "more" else QUICK)
    if found.facts is None:
        raise HTTPException(503, "; ".join(found.trouble))
    if not found.facts.is_known:
        raise HTTPException(404, "there is no row and no retained event of this job")
    return as_json(_as_dict(found.facts, found.trouble))


async def find(context: Context, job_id: str, bounds: Bounds) -> Found:
    """Ask for everything that is known of a job; what Kafka or the database does not answer is left out."""
    table, broker = context.live.table.seen, context.live.broker.seen
    if table.problem is not None:
        return Found(None, trouble=(str(table.problem),))
    trouble = [] if broker.problem is None else [f"The log was not read: {broker.problem}"]
    try:
        facts = None if trouble else await _with_log(context, job_id, bounds)
    except JobStatusError as error:
        facts, trouble = None, [f"The log was not read: {error}"]
    try:
        if facts is None:
            facts = await context.questions.ask(lambda: _without_log(context, job_id), ANSWER_SECONDS)
        beside = await context.questions.ask(lambda: _beside(context, job_id), ANSWER_SECONDS)
    except JobStatusError as error:
        return Found(facts, trouble=(*trouble, str(error)))
    return Found(facts, beside, tuple(trouble))


async def _with_log(context: Context, job_id: str, bounds: Bounds) -> JobFacts:
    sources, settings, broker = context.sources, context.settings, context.live.broker.seen.value

    def question() -> JobFacts:
        letters = []
        if broker is None or broker.dead_letters:
            letters = sources.letters.use(lambda reader: read_letters(reader, job_id, settings, LETTER_SECONDS))
        committed = {} if broker is None else broker.committed
        return sources.tables.use(
            lambda table: sources.logs.use(
                lambda reader: read_job(settings, reader, table, committed, job_id, letters, bounds)
            )
        )

    return await context.questions.ask(question, bounds.seconds + ANSWER_SECONDS)


def _without_log(context: Context, job_id: str) -> JobFacts:
    return context.sources.tables.use(lambda table: row_alone(job_id, *stored(table, job_id)))


def _beside(context: Context, job_id: str) -> RowBeside | None:
    """What the target shows of the job; None without a target."""
    settings = context.settings
    wanted = target_of(settings)
    if wanted is None:
        return None
    with TargetTable(settings.database, settings.table, wanted, opener=open_read_only) as table:
        table.connect()
        return table.beside(job_id)


def strip_of(stays: Sequence[Stay], facts: JobFacts) -> list[Part]:
    """Return the statuses over time as parts of a strip; none if the job has been in one status alone."""
    if len(stays) < 2:
        return []
    # where a worker's clock went back, a stay may begin before the first one, and has no length
    start = min(stay.start for stay in stays)
    end = max([stays[-1].start, *(item.event.time for item in facts.history.items if item.event is not None)])
    total = max(1, end - start)
    return [
        Part(stay, STRIP * (stay.start - start) / total, STRIP * max(0, (stay.end or end) - stay.start) / total)
        for stay in stays
    ]


def _as_dict(facts: JobFacts, trouble: tuple[str, ...]) -> dict[str, Any]:
    history = facts.history
    row = None if history.row is None else history.row._asdict()
    if row is not None:
        row |= {name: rfc3339_of(row[name]) for name in ("latest", "occurred_at") if row[name] is not None}
    return {
        "job_id": history.job_id,
        "row": row,
        "purged_at": iso(history.purged_at),
        "events": [_event(item) for item in history.items],
        "stays": [_stay(stay) for stay in facts.stays],
        "unread": [item._asdict() for item in facts.unread],
        "remarks": list(history.remarks),
        "trouble": list(trouble),
    }


def _stay(stay: Stay) -> dict[str, Any]:
    times = {"start": rfc3339_of(stay.start), "end": None if stay.end is None else rfc3339_of(stay.end)}
    return {**stay._asdict(), **times}


def _event(item: HistoryEntry) -> dict[str, Any]:
    reported = {} if item.event is None else item.event.as_dict()
    return {
        "partition": item.partition,
        "offset": item.offset,
        "appended": shown_ms(item.timestamp),
        "outcome": item.outcome,
        "why": item.why,
        "detail": item.detail,
        **{name: value for name, value in reported.items() if name != "job_id"},
    }
