"""The managed table as a model. Django makes no table for it and writes nothing to it."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models

from jobstatus_reader.django.apps import database, table
from jobstatus_reader.django.columns import JobColumns


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError("a job's state is read-only here: report its status with jobstatus_producer")


class ReadOnlyQuerySet(models.QuerySet):
    """Every method that would write raises `TypeError`."""

    update = delete = bulk_create = bulk_update = aupdate = adelete = abulk_create = abulk_update = _refuse


class _JobManager(models.Manager.from_queryset(ReadOnlyQuerySet)):  # type: ignore[misc]
    def get_queryset(self) -> Any:
        return super().get_queryset().using(database())


class Job(JobColumns):
    """The state of one job. `save` and `delete` raise `TypeError`."""

    objects = _JobManager()

    class Meta:
        managed = False
        db_table = table()
        default_permissions = ("view",)
        verbose_name = "job"

    save_base = save = delete = asave = adelete = _refuse

    def __str__(self) -> str:
        return f"{self.job_id}: {self.status}"
