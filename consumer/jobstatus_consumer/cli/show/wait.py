"""What `jobstatus wait` prints."""

from __future__ import annotations

import json
from typing import Any, Final

import click
from jobstatus_reader import Job

from jobstatus_consumer.cli.show.screen import visible
from jobstatus_consumer.words import rfc3339

_VALUES: Final = ("worker_id", "error_message")
"""What is shown with --show-values alone."""


def show(job: Job, seconds: float, *, as_json: bool, values: bool) -> None:
    """The job that has one of the wanted statuses."""
    if as_json:
        click.echo(json.dumps({**as_dict(job.job_id, job, reached=True, values=values), "seconds": round(seconds, 3)}))
        return
    attempt = "" if job.attempt is None else f", attempt {job.attempt}"
    since = "" if job.occurred_at is None else f", since {rfc3339(job.occurred_at)}"
    click.echo(visible(f"{job.job_id}: {job.status}{attempt}{since}"))
    if values:
        for name in _VALUES:
            click.echo(visible(f"  {name}: {getattr(job, name) or '-'}"))


def as_dict(job_id: str, job: Job | None, *, reached: bool, values: bool) -> dict[str, Any]:
    """The job for programs: its columns, and whether it was reached. Without a row the status is null."""
    known = {"job_id": job_id, "status": None} if job is None else job.as_dict()
    return {"reached": reached, **{name: value for name, value in known.items() if values or name not in _VALUES}}
