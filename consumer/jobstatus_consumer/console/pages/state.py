"""The state of one job as JSON: at once, or when the job has one of the wanted statuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from jobstatus_reader import Job, NotReachedError, ReaderError, check_timeout, check_until
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from jobstatus_consumer.console.context import Context, context_of
from jobstatus_consumer.console.paths import job_of
from jobstatus_consumer.console.rendering import as_json
from jobstatus_consumer.errors import DatabaseAwayError

USUAL_WAIT: Final = "30"
LONGEST_WAIT: Final = 300.0
"""Seconds. A proxy in between ends a silent request sooner as a rule."""
ANSWER_SECONDS: Final = 2.0

T = TypeVar("T")


async def api(request: Request) -> Response:
    """`GET /api/jobs/{job_id}` and `GET /api/job?id=`, with `wait=success,error` and `timeout=30`.

    With `wait` the answer has code 200 when the job has one of the statuses (`reached` is true), and also at the
    time-out (`reached` is false; `status` is null if there is no row).
    """
    context, job_id = context_of(request), job_of(request)
    try:
        wanted = _wanted(request, context)
        if wanted is None:
            return await _now(context, job_id)
        return await _later(request, context, job_id, *wanted)
    except ReaderError as error:
        raise DatabaseAwayError(str(error)) from None


def _wanted(request: Request, context: Context) -> tuple[frozenset[str], float | None] | None:
    """The statuses and the time-out of the query; None without a wait. Raises `HTTPException` 400."""
    given, timeout = request.query_params.getlist("wait"), request.query_params.get("timeout")
    try:
        if not given:
            if timeout is not None:
                raise ValueError("timeout: it goes with wait=status,status")
            return None
        words = [word.strip() for text in given for word in text.split(",")]
        seconds = check_timeout(_number(USUAL_WAIT if timeout is None else timeout), LONGEST_WAIT)
        return check_until(words, context.settings.statuses), seconds
    except ValueError as error:
        raise HTTPException(400, str(error).replace("until: ", "wait: ").replace("status: ", "wait: ")) from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"timeout: wanted 0 to {LONGEST_WAIT:g} seconds") from None


async def _now(context: Context, job_id: str) -> Response:
    job = await context.questions.ask(lambda: context.reader.job(job_id), ANSWER_SECONDS)
    if job is None:
        raise HTTPException(404, "there is no row of this job")
    return as_json(job.as_dict())


async def _later(
    request: Request, context: Context, job_id: str, until: frozenset[str], seconds: float | None
) -> Response:
    try:
        job: Job | None = await _while_connected(request, context.reader.await_status_async(job_id, until, seconds))
    except NotReachedError as error:
        if error.trouble:
            raise DatabaseAwayError(str(error)) from None
        return as_json(_as_dict(job_id, error.job, reached=False))
    return as_json(_as_dict(job_id, job, reached=True))


def _as_dict(job_id: str, job: Job | None, *, reached: bool) -> dict[str, Any]:
    return {"reached": reached, **({"job_id": job_id, "status": None} if job is None else job.as_dict())}


async def _while_connected(request: Request, answer: Awaitable[T]) -> T:
    """Return the answer. If the client goes away before it comes, nobody waits for it any longer."""
    waiting, gone = asyncio.ensure_future(answer), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise HTTPException(499, "the client has gone")
        return waiting.result()
    finally:
        for task in (waiting, gone):
            task.add_done_callback(_look_at)
            task.cancel()


def _look_at(task: asyncio.Future[Any]) -> None:
    """Take the error of a task that nobody waits for any more: asyncio would log it, once for each of a thousand."""
    if not task.cancelled():
        task.exception()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
