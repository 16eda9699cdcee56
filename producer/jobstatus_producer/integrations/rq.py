"""RQ: workers that report what happens to every job, and a queue that reports that a job waits.

    rq worker -w jobstatus_producer.integrations.rq.JobStatusWorker

The worker itself reports, and not the process that it forks for each job: so a job costs no connection of its own, a
job whose process is killed is reported as well, and `os._exit` at the end of that process loses nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rq import Queue, SimpleWorker, Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus

from jobstatus_producer.integrations.reporting import Reporter
from jobstatus_producer.log import logger

if TYPE_CHECKING:
    from jobstatus_producer.client import JobId

    _Base = Worker
else:
    _Base = object


RUNS = "jobstatus_runs"
"""A field of the job's hash in Redis, which RQ deletes with the job."""


class Reporting(_Base):
    """For a class of workers of your own, before RQ's class. The first run of a job is attempt 1.

    Set `reporter` to choose the producer or the words, and write `job_id_of` for ids that are not RQ's.
    """

    reporter: ClassVar[Reporter] = Reporter()

    @classmethod
    def job_id_of(cls, job: Job) -> JobId | None:
        """The id to report; None for a job that is not reported."""
        return job.id

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Report `processing`, run the job as RQ does, and report its end."""
        job_id, attempt, tries = self.job_id_of(job), _next_attempt(job), _tries(job)
        self.reporter.report(job_id, "processing", attempt=attempt)
        super().execute_job(job, queue)
        what, why = _end_of(job, tries)
        self.reporter.report(job_id, what, why, attempt)


class JobStatusWorker(Reporting, Worker):
    """RQ's worker, which reports."""


class JobStatusSimpleWorker(Reporting, SimpleWorker):
    """RQ's worker that forks nothing, which reports."""


class JobStatusQueue(Queue):
    """RQ's queue, which reports `pending` for a job that is new in it. Waiting is attempt 0."""

    reporter: ClassVar[Reporter] = Reporter()

    def _enqueue_job(self, job: Job, *args: Any, **kwargs: Any) -> Job:
        if job.started_at is None:
            self.reporter.report(Reporting.job_id_of(job), "pending", attempt=0)
        return super()._enqueue_job(job, *args, **kwargs)


def _next_attempt(job: Job) -> int | None:
    """Which run of the job this is, over all workers: RQ does not count runs that raised, so the job's hash does."""
    try:
        return int(job.connection.hincrby(job.key, RUNS, 1))
    except Exception as error:  # noqa: BLE001 - Redis is unreachable, for example; RQ itself will say so
        logger.error("the runs of an RQ job could not be counted: %s", type(error).__name__)
        return None


def _tries(job: Job) -> tuple[int | None, int | None]:
    """What RQ changes when it will run a job again: after an exception, and after a function that returned `Retry`."""
    return job.retries_left, job.number_of_retries


def _end_of(job: Job, tries_before: tuple[int | None, int | None]) -> tuple[str, str | None]:
    """What became of a job, as RQ has stored it, and why. RQ stores no reason for a run that it tries again."""
    try:
        try:
            job.refresh()  # type: ignore[no-untyped-call]
        except NoSuchJobError:
            # RQ keeps nothing of a success with result_ttl=0
            return "success", None
        if _tries(job) != tries_before:
            return "retrying", None
        status = job.get_status(refresh=False)
        if status in (JobStatus.STOPPED, JobStatus.CANCELED):
            return "revoked", status.value
        # a job that RQ repeats is in its queue again
        return ("error", _last_line(job)) if status is JobStatus.FAILED else ("success", None)
    except Exception as error:  # noqa: BLE001 - Redis is unreachable, for example; the worker must go on
        logger.error("what became of an RQ job is unknown (%s); it is reported as an error", type(error).__name__)
        return "error", f"the result is unknown: {type(error).__name__}"


def _last_line(job: Job) -> str | None:
    """The last line of the traceback, which has the exception and its text."""
    result = job.latest_result()
    lines = (result.exc_string or "").strip().splitlines() if result else []
    return lines[-1] if lines else None
