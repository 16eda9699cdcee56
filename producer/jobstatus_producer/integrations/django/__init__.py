"""Django: the producer's settings among Django's, a check of them, and reports that wait for the commit.

    INSTALLED_APPS = [..., "jobstatus_producer.integrations.django"]
    JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS = "kafka-1:9092"

    with transaction.atomic():
        order.save()
        report_on_commit(order.id, "pending")

`update_job_status` reports at once. The end of the process flushes, in every server and in every command.
"""

from __future__ import annotations

from django.db import transaction

from jobstatus_producer.client import JobId
from jobstatus_producer.functions import default_producer

__all__ = ["report_on_commit"]


def report_on_commit(
    job_id: JobId,
    status: str,
    error_message: object = None,
    *,
    attempt: int | None = None,
    using: str | None = None,
) -> None:
    """Report once the transaction of the database `using` is committed; never if it is rolled back.

    Without a transaction it reports at once. A report that is not accepted raises nothing, because the transaction is
    over: Django logs it as an error. The call that commits blocks as `update_job_status` does.
    """

    def report() -> None:
        default_producer().update_job_status(job_id, status, error_message, attempt=attempt)

    transaction.on_commit(report, using=using, robust=True)
