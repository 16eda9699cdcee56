"""arq: every job of a worker reports what happens to it.

    @report_jobs()
    class WorkerSettings:
        functions = [send_mail]

In the programs that enqueue, `await enqueue_job(redis, "send_mail", ...)` enqueues as arq does, and reports `pending`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, Final, TypeVar

from arq import ArqRedis
from arq.constants import job_key_prefix
from arq.jobs import Job
from arq.worker import func

from jobstatus_producer.client import JobId, JobStatusProducer
from jobstatus_producer.integrations.reporting import Reporter, Words, made_id
from jobstatus_producer.log import logger

S = TypeVar("S", bound=Any)
Ctx = dict[Any, Any]
JobIdOf = Callable[[Ctx], JobId | None]
"""The job's id from arq's context, which has `job_id` and `job_try`; None for a job that is not reported."""
MAX_TRIES: Final = 5
"""arq's own default."""
_END: Final = "jobstatus_end"
_NOT_BEGUN: Final = asyncio.CancelledError("the job did not begin")
"""arq can fail between its hook and our wrapper, for example in the text of an argument for its log."""


def report_jobs(
    producer: JobStatusProducer | None = None, *, job_id: JobIdOf | None = None, words: Words | None = None
) -> Callable[[S], S]:
    """A decorator for a class of settings, as `arq module.WorkerSettings` takes it.

    The job's id is arq's own, unless `job_id` makes another one. Raises `ValueError` for an unknown key of `words`.
    """
    jobs = _Jobs(Reporter(producer, words), job_id or _arqs_id)

    def decorate(settings: S) -> S:
        tries = getattr(settings, "max_tries", MAX_TRIES)
        settings.functions = [_noting(func(item), tries) for item in getattr(settings, "functions", ())]
        settings.cron_jobs = [_noting(item, tries) for item in getattr(settings, "cron_jobs", None) or ()]
        settings.on_job_start = _both(jobs.begun, getattr(settings, "on_job_start", None))
        settings.after_job_end = _both(jobs.ended, getattr(settings, "after_job_end", None))
        return settings

    return decorate


async def enqueue_job(redis: ArqRedis, function: str, *args: Any, **kwargs: Any) -> Job | None:
    """As `redis.enqueue_job`, and reports `pending` with arq's id and the producer of `update_job_status`.

    It knows no `producer`, `job_id` or `words` of `report_jobs`. With these, report `pending` with a `Reporter`.
    """
    job = await redis.enqueue_job(function, *args, **kwargs)
    if job is not None:
        await _WAITING.areport(job.job_id, "pending", attempt=0)
    return job


_WAITING: Final = Reporter()


def _arqs_id(ctx: Ctx) -> JobId | None:
    found: str = ctx["job_id"]
    return found


class _Jobs:
    """arq's hooks as reports. The attempt is arq's number of the try; waiting is attempt 0."""

    def __init__(self, reporter: Reporter, job_id: JobIdOf) -> None:
        self._reporter = reporter
        self._job_id = job_id

    async def begun(self, ctx: Ctx) -> None:
        await self._report(ctx, "processing")

    async def ended(self, ctx: Ctx) -> None:
        await self._report(ctx, *await _how_it_ended(ctx))

    async def _report(self, ctx: Ctx, what: str, error: object = None) -> None:
        made = made_id("arq job", lambda: self._job_id(ctx))
        await self._reporter.areport(made, what, error, ctx["job_try"])


async def _how_it_ended(ctx: Ctx) -> tuple[str, object]:
    error, is_last = ctx.get(_END, (_NOT_BEGUN, False))
    if error is None:
        return "success", None
    try:
        return await _found_out(ctx, error, is_last)
    except Exception as wrong:  # noqa: BLE001 - whatever a hook raises ends the whole worker
        logger.error("Redis could not be asked how an arq job ended: %s", type(wrong).__name__)
        return "error", error


async def _found_out(ctx: Ctx, error: BaseException, is_last: bool) -> tuple[str, object]:
    """What ended a job that raised or did not begin.

    A cancelled job was aborted or reached its time limit. Its result says which, and why a job did not begin.
    """
    if await ctx["redis"].exists(job_key_prefix + ctx["job_id"]):
        # arq does not run it after its last try, and calls no hook when it gives it up
        return "error" if is_last else "retrying", error
    if not isinstance(error, asyncio.CancelledError):
        return "error", error
    found = await Job(ctx["job_id"], ctx["redis"], _deserializer=ctx["redis"].job_deserializer).result_info()
    if found is None:
        return "error", "TimeoutError" if _END in ctx else error
    return ("revoked", "aborted") if isinstance(found.result, asyncio.CancelledError) else ("error", found.result)


def _noting(function: Any, tries: int) -> Any:
    """The function or cron job, which notes in the context how it ended, and whether another try may follow."""
    coroutine = function.coroutine
    most = tries if function.max_tries is None else function.max_tries

    @wraps(coroutine)
    async def noting(ctx: Ctx, *args: Any, **kwargs: Any) -> Any:
        ctx[_END] = (None, False)
        try:
            return await coroutine(ctx, *args, **kwargs)
        except BaseException as error:
            ctx[_END] = (error, ctx["job_try"] >= most)
            raise

    return replace(function, coroutine=noting)


def _both(first: Callable[[Ctx], Any], then: Callable[[Ctx], Any] | None) -> Callable[[Ctx], Any]:
    async def both(ctx: Ctx) -> None:
        await first(ctx)
        if then is not None:
            await then(ctx)

    return both
