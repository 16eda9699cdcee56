"""`jobstatus stuck`."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

import click

from jobstatus_consumer.cli.options import AGE, json_flag, with_settings
from jobstatus_consumer.cli.session import refuse
from jobstatus_consumer.cli.show import stuck as show
from jobstatus_consumer.config import Settings
from jobstatus_consumer.durations import ALLOWED
from jobstatus_consumer.errors import SettingsError
from jobstatus_consumer.store import WatchedTable, check


@click.command("stuck")
@with_settings("database_url", "table", "statuses", "deadlines")
@click.option("--status", multiple=True, metavar="WORD", help="Jobs in this status; may be repeated.")
@click.option(
    "--older-than", type=AGE, default=None, metavar="AGE", help=f"Jobs that have been silent for so long: {ALLOWED}."
)
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    metavar="ROWS",
    help="List so many jobs.",
)
@json_flag
def command(settings: Settings, status: tuple[str, ...], older_than: int | None, limit: int, as_json: bool) -> None:
    """List the jobs whose last event is older than the deadline of their status, the oldest first.

    The age is that of the event which the row shows, by the events' times. Without --status the deadlines of
    JOBSTATUS_DEADLINES count; with it --older-than is the deadline, or the one of that setting. Nothing is written: a
    worker that is late may still report, and no timer can know better.

    Exit code 0: no job is stuck. 1: some are. 2: wrong usage.
    """
    deadlines = _deadlines(settings, status, older_than)
    refuse(check(settings.database, settings.table, to_write=False))
    now = time.time()
    with WatchedTable(settings.database, settings.table) as table:
        counts = table.overdue(deadlines, now)
        jobs = table.jobs(deadlines, now, limit=limit, letters=show.LETTERS) if any(counts.values()) else []
    show.show(show.Stuck(settings.table, deadlines, counts, jobs, now), as_json=as_json)
    sys.exit(1 if any(counts.values()) else 0)


def _deadlines(settings: Settings, statuses: tuple[str, ...], older_than: int | None) -> Mapping[str, int]:
    known = settings.deadlines or {}
    if not statuses:
        if older_than is not None:
            raise SettingsError("--older-than needs --status: stuck --status processing --older-than 15m")
        if not known:
            raise SettingsError(
                "there is no deadline: give --status processing --older-than 15m, or set JOBSTATUS_DEADLINES"
            )
        return known
    if older_than is not None:
        return dict.fromkeys(statuses, older_than)
    missing = [status for status in statuses if status not in known]
    if missing:
        raise SettingsError(f"--status {missing[0]}: give --older-than, or a deadline of it in JOBSTATUS_DEADLINES")
    return {status: known[status] for status in statuses}
