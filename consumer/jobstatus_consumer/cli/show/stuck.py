"""What `jobstatus stuck` prints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import click

from jobstatus_consumer.cli.show.screen import narrow, plain_console, print_fitted
from jobstatus_consumer.durations import shown_duration
from jobstatus_consumer.operations import shown
from jobstatus_consumer.store import OverdueJob
from jobstatus_consumer.words import counted

LETTERS: Final = 500
"""Of an error message, so many letters are read."""
_SHORT: Final = 40
"""Of an error message, so many letters are shown to a person."""


class Stuck(NamedTuple):
    """What was found at the time `now`: the number of overdue jobs by status, and the oldest of them."""

    table: str
    deadlines: Mapping[str, int]
    counts: Mapping[str, int]
    jobs: Sequence[OverdueJob]
    now: float


def show(found: Stuck, *, as_json: bool) -> None:
    """Print it to stdout."""
    if as_json:
        click.echo(json.dumps(_as_dict(found)))
        return
    console = plain_console()
    if found.jobs:
        table = narrow("job", "status", "worker", "last message", title="")
        table.add_column("silent for", no_wrap=True)
        for job in found.jobs:
            table.add_row(job.job_id, job.status, job.worker_id or "-", _brief(job.message), _age(found, job))
        console.print(table)
    total = sum(found.counts.values())
    by_status = ", ".join(
        f"{found.counts.get(status, 0):,} {status} for over {shown_duration(seconds)}"
        for status, seconds in found.deadlines.items()
    )
    more = f" ({total - len(found.jobs):,} more than are listed)" if total > len(found.jobs) else ""
    print_fitted(console, f"{counted(total, 'job')} of {found.table} stuck{more}: {by_status}")


def _age(found: Stuck, job: OverdueJob) -> str:
    return shown_duration(found.now - job.since)


def _brief(message: str | None) -> str:
    text = " ".join((message or "-").split())
    return text if len(text) <= _SHORT else text[: _SHORT - 3] + "..."


def _as_dict(found: Stuck) -> dict[str, Any]:
    return {
        "time": _time(found.now),
        "table": found.table,
        "deadlines": dict(found.deadlines),
        "stuck": sum(found.counts.values()),
        "by_status": dict(found.counts),
        "jobs": [
            {
                "job_id": job.job_id,
                "status": job.status,
                "since": _time(job.since),
                "age_seconds": round(found.now - job.since, 3),
                "attempt": job.attempt,
                "worker_id": job.worker_id,
                "error_message": job.message,
            }
            for job in found.jobs
        ],
    }


def _time(seconds: float) -> str:
    return shown(datetime.fromtimestamp(seconds, UTC))
