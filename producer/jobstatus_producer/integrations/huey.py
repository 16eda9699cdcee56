"""Huey: every task reports what happens to it, by Huey's own signals.

    from jobstatus_producer.integrations.huey import report_tasks
    report_tasks(huey)

Call it where the Huey is made, so that it runs in consumers and in the programs that enqueue tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from huey import signals
from huey.api import Huey, Task

from jobstatus_producer.client import JobId, JobStatusProducer
from jobstatus_producer.integrations.reporting import Reporter, Words
from jobstatus_producer.log import logger

JobIdOf = Callable[[Task], JobId | None]
"""The job's id from Huey's task, which has `id`, `args` and `kwargs`; None for a task that is not reported."""
FLUSH_SECONDS: Final = 5.0
"""How long each worker of a consumer waits at its end until the broker has its reports."""
_RUNS: Final = "jobstatus_runs"
_FAILURES: Final = {
    signals.SIGNAL_ERROR: None,
    signals.SIGNAL_TIMEOUT: "TaskTimeout",
    signals.SIGNAL_LOCKED: "locked",
    signals.SIGNAL_RATE_LIMITED: "rate-limited",
    signals.SIGNAL_INTERRUPTED: "interrupted",
}
_REVOKED: Final = (signals.SIGNAL_REVOKED, signals.SIGNAL_EXPIRED)


def report_tasks(
    huey: Huey,
    producer: JobStatusProducer | None = None,
    *,
    job_id: JobIdOf | None = None,
    words: Words | None = None,
) -> None:
    """Report all tasks that this process enqueues or runs with `huey`. Call it once.

    The job's id is the task's id, unless `job_id` makes another one. Raises `ValueError` for an unknown key of `words`.
    """
    reporter = Reporter(producer, words)
    huey._signal.connect(_Tasks(huey, reporter, job_id or _task_id).happened)
    # at a restart (SIGHUP) Huey replaces its process by `os.execl`, which calls no `atexit`
    huey.on_shutdown("jobstatus")(lambda: reporter.flush(FLUSH_SECONDS))


def _task_id(task: Task) -> JobId | None:
    found: str = task.id
    return found


def _note_run(task: Task) -> None:
    """Have the task say whether its function ran: no signal tells that from a `pre_execute` hook that cancelled it."""
    run = type(task).execute
    task.jobstatus_ran = False

    def execute() -> Any:
        task.jobstatus_ran = True
        return run(task)

    task.execute = execute


class _Tasks:
    """Huey's signals as reports. Huey does not count runs, so its storage does, as it counts the parts of a chord.

    The first run of a task is attempt 1; waiting for it is attempt 0.
    """

    def __init__(self, huey: Huey, reporter: Reporter, job_id: JobIdOf) -> None:
        self._huey = huey
        self._reporter = reporter
        self._job_id = job_id

    def happened(self, signal: str, task: Task, error: BaseException | None = None) -> None:
        if signal == signals.SIGNAL_ENQUEUED:
            self._enqueued(task)
        elif signal == signals.SIGNAL_EXECUTING:
            self._begun(task)
        elif signal == signals.SIGNAL_COMPLETE:
            self._end(task, "success")
        elif signal == signals.SIGNAL_RETRYING:
            self._report(task, "retrying", getattr(task, "jobstatus_error", None))
        elif signal == signals.SIGNAL_CANCELED and task.jobstatus_ran and task.retries:
            # the signal that it is tried again comes next; it does not after a `pre_execute` hook that cancels
            task.jobstatus_error = signal
        elif signal in (*_REVOKED, signals.SIGNAL_CANCELED):
            self._end(task, "revoked", signal)
        elif signal in _FAILURES:
            self._failed(task, error or _FAILURES[signal], signal == signals.SIGNAL_INTERRUPTED)

    def _enqueued(self, task: Task) -> None:
        """Not for a retry, nor for a task whose time has come, which the consumer enqueues again."""
        is_due = task.eta is not None and self._huey.ready_to_run(task)
        if not is_due and not hasattr(task, "jobstatus_attempt"):
            self._report(task, "pending")

    def _begun(self, task: Task) -> None:
        task.jobstatus_attempt = self._next_attempt(task)
        task.jobstatus_error = None
        _note_run(task)
        self._report(task, "processing")

    def _failed(self, task: Task, error: object, is_over: bool) -> None:
        if task.retries and not is_over:
            # the signal that it is tried again comes next
            task.jobstatus_error = error
        else:
            self._end(task, "error", error)

    def _end(self, task: Task, what: str, error: object = None) -> None:
        self._report(task, what, error)
        self._huey.storage.delete_counter(self._counter(task))

    def _report(self, task: Task, what: str, error: object = None) -> None:
        attempt = getattr(task, "jobstatus_attempt", 0)
        self._reporter.report_as("Huey task", lambda: self._job_id(task), what, error, attempt)

    def _next_attempt(self, task: Task) -> int | None:
        try:
            return int(self._huey.storage.incr(self._counter(task)))
        except Exception as error:  # noqa: BLE001 - the storage is unreachable, for example; Huey itself will say so
            logger.error("the runs of a Huey task could not be counted: %s", type(error).__name__)
            return None

    @staticmethod
    def _counter(task: Task) -> str:
        return f"{_RUNS}.{task.id}"
