"""The columns of the managed table for Django; `docs/reference/table.md` explains each.

This file is made from the layout of the table: `python -m tests.support.generate_docs` writes it.
"""

from __future__ import annotations

from django.db import models


class JobColumns(models.Model):
    """An abstract model, for a model with columns of your own; `models.Job` is the table as `migrate` makes it."""

    class Meta:
        abstract = True

    job_id = models.TextField(primary_key=True)
    status = models.TextField(null=True)
    error_message = models.TextField(null=True)
    attempt = models.IntegerField(null=True)
    worker_id = models.TextField(null=True)
    occurred_at = models.DateTimeField(null=True)
    event_id = models.UUIDField(null=True)
    latest_occurred_at = models.DateTimeField(null=True)
    log_id = models.TextField(null=True)
    log_offset = models.BigIntegerField(null=True)
    updated_at = models.DateTimeField(null=True)
