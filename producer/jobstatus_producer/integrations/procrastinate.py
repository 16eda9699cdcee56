"""procrastinate: every job reports what its own database says of it, right after that is written there.

    from jobstatus_producer.integrations.procrastinate import report_jobs
    report_jobs(app)

Call it where the App is made, so that it runs in workers and in the programs that defer jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from procrastinate import App
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager

from jobstatus_producer.client import JobId, JobStatusProducer
from jobstatus_producer.integrations.reporting import Reporter, Words, made_id

JobIdOf = Callable[[Job], JobId | None]
"""The job's id from procrastinate's job; None for a job that is not reported."""
_NAME: Final = "procrastinate job"
_ENDS: Final = {Status.SUCCEEDED: "success", Status.FAILED: "error", Status.ABORTED: "revoked"}


def report_jobs(
    app: App,
    producer: JobStatusProducer | None = None,
    *,
    job_id: JobIdOf | None = None,
    words: Words | None = None,
) -> None:
    """Report all jobs that this process defers or runs with `app`. A second call replaces the first.

    The job's id is procrastinate's number of the job, unless `job_id` makes another one. Raises `ValueError` for an
    unknown key of `words`, and `TypeError` for procrastinate's stand-in of the app in Django.
    """
    if not isinstance(app, App):
        raise TypeError(
            "app: wanted a procrastinate.App; with procrastinate.contrib.django call report_jobs(app) "
            "in the function that PROCRASTINATE_ON_APP_READY names"
        )
    jobs = _Jobs(app.job_manager.connector, Reporter(producer, words), job_id or _number)
    others = [
        middleware
        for middleware in app.worker_defaults.get("worker_middleware", [])
        if not isinstance(getattr(middleware, "__self__", None), _Jobs)
    ]
    app.job_manager = jobs
    app.worker_defaults["worker_middleware"] = [jobs.noted, *others]


def _waiting(jobs: Iterable[Job]) -> list[Job]:
    return [job for job in jobs if job.status == Status.TODO.value]


def _number(job: Job) -> JobId | None:
    return job.id


class _Jobs(JobManager):
    """procrastinate's own manager of jobs, which reports. Waiting is attempt 0, and the first run attempt 1."""

    def __init__(self, connector: Any, reporter: Reporter, job_id: JobIdOf) -> None:
        super().__init__(connector)
        self._reporter = reporter
        self._job_id = job_id
        self._errors: dict[int | None, BaseException] = {}

    async def noted(self, run: Callable[[], Any], context: Any, _worker: Any) -> Any:
        """A middleware around each run, because what ends it is not handed to the manager."""
        try:
            return await run()
        except BaseException as error:
            self._errors[context.job.id] = error
            raise

    def batch_defer_jobs(self, jobs: list[Job], connection: Any = None) -> list[Job]:
        """Report `pending`."""
        made = super().batch_defer_jobs(jobs, connection)
        for job in made:
            self._reporter.report(self._id(job), "pending", attempt=0)
        return made

    async def batch_defer_jobs_async(self, jobs: list[Job], connection: Any = None) -> list[Job]:
        """Report `pending`."""
        made = await super().batch_defer_jobs_async(jobs, connection)
        for job in made:
            await self._report(job, "pending", attempt=0)
        return made

    async def fetch_job(self, queues: Any, worker_id: int) -> Job | None:
        """Report `processing`."""
        job = await super().fetch_job(queues, worker_id)
        if job is not None:
            await self._report(job, "processing", attempt=job.attempts + 1)
        return job

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """Report `success`, `error` or `revoked`."""
        await super().finish_job(job, status, delete_job)
        error = self._errors.pop(job.id, None)
        await self._report(job, _ENDS[status], error, job.attempts + 1)

    async def retry_job(self, job: Job, *args: Any, **kwargs: Any) -> None:
        """Report `retrying`."""
        await super().retry_job(job, *args, **kwargs)
        await self._report(job, "retrying", self._errors.pop(job.id, None), job.attempts + 1)

    def cancel_job_by_id(self, job_id: int, *args: Any, **kwargs: Any) -> bool:
        """Report `revoked` for a job that waited; one that runs is reported by its worker."""
        waited = _waiting(self.list_jobs(id=job_id))
        cancelled = super().cancel_job_by_id(job_id, *args, **kwargs)
        for job in waited if cancelled else ():
            self._reporter.report(self._id(job), "revoked", "cancelled", job.attempts + 1)
        return cancelled

    async def cancel_job_by_id_async(self, job_id: int, *args: Any, **kwargs: Any) -> bool:
        """As `cancel_job_by_id`."""
        waited = _waiting(await self.list_jobs_async(id=job_id))
        cancelled = await super().cancel_job_by_id_async(job_id, *args, **kwargs)
        for job in waited if cancelled else ():
            await self._report(job, "revoked", "cancelled", job.attempts + 1)
        return cancelled

    def _id(self, job: Job) -> JobId | None:
        return made_id(_NAME, lambda: self._job_id(job))

    async def _report(self, job: Job, what: str, error: object = None, attempt: int | None = None) -> None:
        await self._reporter.areport(self._id(job), what, error, attempt)
