"""Celery: every task reports what happens to it, by Celery's own signals.

    from jobstatus_producer.integrations.celery import report_tasks
    report_tasks()

Call it where the Celery app is made, so that it runs in workers and in the programs that send tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from celery import signals

from jobstatus_producer.client import JobId, JobStatusProducer
from jobstatus_producer.integrations.reporting import Reporter, Words

JobIdOf = Callable[[str, Sequence[Any], Mapping[str, Any]], JobId | None]
"""The job's id from the task's id, its arguments and its keyword arguments; None for a task that is not reported."""
_UID: Final = "jobstatus"


def report_tasks(
    producer: JobStatusProducer | None = None,
    *,
    job_id: JobIdOf | None = None,
    words: Words | None = None,
    flush_seconds: float | None = None,
) -> None:
    """Report all tasks of this process and of the processes that it forks. A second call replaces the first.

    The job's id is the task's id, unless `job_id` makes another one. With `flush_seconds` a worker waits after each
    task until the broker has its reports, for so long at most. Raises `ValueError` for an unknown key of `words`.
    """
    tasks = _Tasks(Reporter(producer, words), job_id or _task_id, flush_seconds)
    for signal, receiver in (
        (signals.before_task_publish, tasks.published),
        (signals.task_prerun, tasks.begun),
        (signals.task_success, tasks.succeeded),
        (signals.task_failure, tasks.failed),
        (signals.task_retry, tasks.retried),
        (signals.task_revoked, tasks.revoked),
        (signals.task_postrun, tasks.ended),
    ):
        uid = f"{_UID}.{receiver.__name__}"
        signal.disconnect(dispatch_uid=uid)
        signal.connect(receiver, weak=False, dispatch_uid=uid)


def _task_id(task_id: str, _args: Sequence[Any], _kwargs: Mapping[str, Any]) -> JobId:
    return task_id


class _Tasks:
    """Celery's signals as reports. The first run of a task is attempt 1; waiting for it is attempt 0.

    So a report of the program that sent the task never hides one of the worker, in whichever order they arrive.
    """

    def __init__(self, reporter: Reporter, job_id: JobIdOf, flush_seconds: float | None) -> None:
        self._reporter = reporter
        self._job_id = job_id
        self._flush_seconds = flush_seconds

    def published(self, headers: Mapping[str, Any] | None = None, body: Any = None, **_: Any) -> None:
        # a retry is sent as well, by the worker that reports it as such; protocol 1 has no headers of a task
        if headers and "id" in headers and not headers.get("retries"):
            args, kwargs = body[:2] if isinstance(body, tuple | list) else ((), {})
            self._report(headers["id"], args, kwargs, "pending", attempt=0)

    def begun(self, task_id: str, task: Any, args: Any = None, kwargs: Any = None, **_: Any) -> None:
        self._report(task_id, args, kwargs, "processing", attempt=task.request.retries + 1)

    def succeeded(self, sender: Any, **_: Any) -> None:
        request = sender.request
        self._report(request.id, request.args, request.kwargs, "success", attempt=request.retries + 1)

    def failed(
        self, sender: Any, task_id: str, exception: object, args: Any = None, kwargs: Any = None, **_: Any
    ) -> None:
        request = sender.request
        # after a hard time limit it comes from the parent, which does not say which retry it was
        attempt = request.retries + 1 if request.id == task_id else None
        self._report(task_id, args, kwargs, "error", exception, attempt)

    def retried(self, request: Any, reason: Any = None, **_: Any) -> None:
        error = getattr(reason, "exc", None) or reason
        self._report(request.id, request.args, request.kwargs, "retrying", error, request.retries + 1)

    def revoked(self, request: Any, terminated: bool = False, expired: bool = False, **_: Any) -> None:
        why = "expired" if expired else "terminated" if terminated else None
        self._report(request.id, request.args, request.kwargs, "revoked", why, (request.retries or 0) + 1)

    def ended(self, **_: Any) -> None:
        if self._flush_seconds is not None:
            self._reporter.flush(self._flush_seconds)

    def _report(
        self, task_id: str, args: Any, kwargs: Any, what: str, error: object = None, attempt: int | None = None
    ) -> None:
        self._reporter.report_as(
            "Celery task", lambda: self._job_id(task_id, args or (), kwargs or {}), what, error, attempt
        )
