"""Dramatiq: a middleware that reports what happens to every message.

from jobstatus_producer.integrations.dramatiq import add_reports
add_reports(broker)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dramatiq import Broker, Message, MessageProxy, Middleware
from dramatiq.middleware import Retries

from jobstatus_producer.client import JobId, JobStatusProducer
from jobstatus_producer.integrations.reporting import Reporter, Words

AnyMessage = Message[Any] | MessageProxy
JobIdOf = Callable[[AnyMessage], JobId | None]
"""The job's id of a message; None for a message that is not reported."""


def add_reports(
    broker: Broker,
    producer: JobStatusProducer | None = None,
    *,
    job_id: JobIdOf | None = None,
    words: Words | None = None,
) -> None:
    """Have all messages of this broker reported. Call it in workers and in the programs that send messages.

    The job's id is the message's id, unless `job_id` makes another one. Raises `ValueError` for an unknown key of
    `words`.
    """
    middleware = ReportMiddleware(producer, job_id=job_id, words=words)
    if any(isinstance(other, Retries) for other in broker.middleware):
        # Dramatiq calls them in reverse after a message, and Retries decides whether it has failed
        broker.add_middleware(middleware, before=Retries)
    else:
        broker.add_middleware(middleware)


class ReportMiddleware(Middleware):
    """The first run of a message is attempt 1; waiting for it is attempt 0. It must come before `Retries`."""

    def __init__(
        self, producer: JobStatusProducer | None = None, *, job_id: JobIdOf | None = None, words: Words | None = None
    ) -> None:
        """As `add_reports`."""
        self._reporter = Reporter(producer, words)
        self._job_id = job_id or _message_id
        self._delayed: set[str] = set()

    def before_enqueue(self, broker: Broker, message: Message[Any], delay: int | None) -> None:
        """Report `pending`, but not for a retry, nor for a delayed message that a worker moves to its queue."""
        moved = message.message_id in self._delayed
        self._delayed.discard(message.message_id)
        if not moved and not message.options.get("retries"):
            self._report(message, "pending", attempt=0)

    def before_delay_message(self, broker: Broker, message: MessageProxy) -> None:
        """Remember a delayed message, which this worker enqueues again when its time has come."""
        self._delayed.add(message.message_id)

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Report `processing`."""
        self._report(message, "processing", attempt=message.options.get("retries", 0) + 1)

    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        """Report `success`, `error`, or `retrying` if another try follows."""
        retries = message.options.get("retries", 0)
        if exception is None:
            self._report(message, "success", attempt=retries + 1)
        elif message.failed:
            # the middleware Retries has counted this try, unless the message allows no further one
            self._report(message, "error", exception, max(1, retries))
        else:
            self._report(message, "retrying", exception, max(1, retries))

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        """Report `revoked`: another middleware left the message out, such as one that is too old."""
        self._report(message, "revoked", "skipped", message.options.get("retries", 0) + 1)

    def _report(
        self, message: Message[Any] | MessageProxy, what: str, error: object = None, attempt: int | None = None
    ) -> None:
        self._reporter.report_as("Dramatiq message", lambda: self._job_id(message), what, error, attempt)


def _message_id(message: AnyMessage) -> JobId:
    return message.message_id
