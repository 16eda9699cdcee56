"""APScheduler 3: every run of a job reports what happens to it, by a listener.

    from jobstatus_producer.integrations.apscheduler import report_jobs
    report_jobs(scheduler)

A job that runs again and again shows its last run, unless `job_id` makes an id for each run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from apscheduler import events
from apscheduler.schedulers.base import BaseScheduler

from jobstatus_producer.client import JobId, JobStatusProducer
from jobstatus_producer.integrations.reporting import Reporter, Words, made_id

JobIdOf = Callable[[str, datetime], JobId | None]
"""The job's id from APScheduler's id and the time the run was scheduled for; None for a run that is not reported."""
_ENDS: Final = {
    events.EVENT_JOB_EXECUTED: "success",
    events.EVENT_JOB_ERROR: "error",
    events.EVENT_JOB_MISSED: "revoked",
}
_LISTENED: Final = events.EVENT_JOB_SUBMITTED | events.EVENT_JOB_MAX_INSTANCES | sum(_ENDS)


def report_jobs(
    scheduler: BaseScheduler,
    producer: JobStatusProducer | None = None,
    *,
    job_id: JobIdOf | None = None,
    words: Words | None = None,
) -> None:
    """Report all runs of this scheduler's jobs. Call it once, before the scheduler is started.

    The job's id is APScheduler's, unless `job_id` makes another one. Raises `ValueError` for an unknown key of `words`.
    """
    scheduler.add_listener(_Runs(Reporter(producer, words), job_id or _job_id).happened, _LISTENED)


def _job_id(job_id: str, _scheduled: datetime) -> JobId | None:
    return job_id


Run = tuple[str, datetime]


class _Runs:
    """APScheduler's events as reports.

    The event that a run was submitted may come after the event of its end, because the scheduler sends it when it has
    submitted all runs that are due. Then the end reports the begin as well.
    """

    def __init__(self, reporter: Reporter, job_id: JobIdOf) -> None:
        self._reporter = reporter
        self._job_id = job_id
        self._lock = threading.RLock()
        self._running: dict[Run, JobId | None] = {}
        self._ended: set[Run] = set()

    def happened(self, event: Any) -> None:
        with self._lock:
            if event.code == events.EVENT_JOB_SUBMITTED:
                for scheduled in event.scheduled_run_times:
                    self._submitted((event.job_id, scheduled))
            elif event.code == events.EVENT_JOB_MAX_INSTANCES:
                for scheduled in event.scheduled_run_times:
                    self._left_out((event.job_id, scheduled))
            else:
                self._end((event.job_id, event.scheduled_run_time), event)

    def _submitted(self, run: Run) -> None:
        if run in self._ended:
            self._ended.discard(run)
        else:
            self._running[run] = self._begun(run)

    def _left_out(self, run: Run) -> None:
        """Report it, unless the run that is the reason has the same id: its row must go on to show that run."""
        made = self._id(run)
        if made not in self._running.values():
            self._reporter.report(made, "revoked", "max_instances")

    def _end(self, run: Run, event: Any) -> None:
        if run in self._running:
            made = self._running.pop(run)
        else:
            self._ended.add(run)
            made = self._begun(run)
        why = "missed" if event.code == events.EVENT_JOB_MISSED else event.exception
        self._reporter.report(made, _ENDS[event.code], why)

    def _begun(self, run: Run) -> JobId | None:
        made = self._id(run)
        self._reporter.report(made, "processing")
        return made

    def _id(self, run: Run) -> JobId | None:
        return made_id("APScheduler job", lambda: self._job_id(*run))
