"""`jobstatus purge`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Event

import click

from jobstatus_consumer.cli.auditing import noted
from jobstatus_consumer.cli.options import AGE, json_flag, with_settings
from jobstatus_consumer.cli.session import (
    PATIENCE,
    agreed,
    already,
    dry_run_flag,
    progress,
    refuse,
    say,
    stopping,
    yes_flag,
)
from jobstatus_consumer.cli.show import purge as show
from jobstatus_consumer.config import Settings
from jobstatus_consumer.durations import ALLOWED
from jobstatus_consumer.errors import BadRowError, JobStatusError, SettingsError
from jobstatus_consumer.kafka import RangeReader, Topics, commits
from jobstatus_consumer.operations import PurgeContext, PurgeResult, current_logs, forget, held_offsets, purge
from jobstatus_consumer.store import Finished, PurgeTable, check_purge
from jobstatus_consumer.words import counted


@dataclass(frozen=True, slots=True)
class PurgeOptions:
    """The options of one purge."""

    status: str | None
    older_than: int | None
    forget_after: int | None
    max_rate: float | None
    full_speed: bool
    dry_run: bool
    yes: bool
    as_json: bool

    @property
    def finished(self) -> Finished | None:
        """The rows to purge; None if there is only something to forget."""
        if self.status is None or self.older_than is None:
            return None
        statuses = [word.strip() for word in self.status.split(",") if word.strip()]
        return Finished(tuple(dict.fromkeys(statuses)), _before(self.older_than))


@click.command("purge")
@with_settings("topic", "group_id", "dlq_topic", "database_url", "table", wait_for_database=PATIENCE)
@click.option("--status", default=None, metavar="WORD,...", help="The statuses of the rows to remove: success,error.")
@click.option(
    "--older-than",
    type=AGE,
    default=None,
    metavar="AGE",
    help=f"Only rows whose job had its last event so long ago, by the events' times: {ALLOWED}.",
)
@click.option(
    "--forget-after",
    type=AGE,
    default=None,
    metavar="AGE",
    help="Also forget jobs that were purged so long ago, where neither the topic nor its dead letters have an event of "
    "them. A worker's spool may hold one: take longer than a spool can wait.",
)
@click.option(
    "--max-rate",
    type=click.FloatRange(0, min_open=True),
    default=None,
    metavar="ROWS",
    help="At most this many rows a second; otherwise only the pauses count, each 15 times as long as a transaction.",
)
@click.option("--full-speed", is_flag=True, help="Make no pauses: for a database that no consumer writes to now.")
@dry_run_flag
@yes_flag
@json_flag
def command(settings: Settings, **given: object) -> None:
    """Remove the rows of finished jobs, in small transactions beside live consumers.

    What was purged stays purged: redelivery, replay, redrive, replay --into and late events do not bring it back. A job
    that has a newer event comes back with it. Rows that another program wrote stay.

    Exit code 0: done. 1: it was stopped, or the database refused a row; what was purged until then stays purged.
    """
    options = PurgeOptions(**given)  # type: ignore[arg-type]
    finished = _refuse_contradictions(options)
    refuse(check_purge(settings.database, settings.table))
    with stopping() as stop, PurgeTable(settings.database, settings.table) as table:
        context = PurgeContext(
            table, options.max_rate or 0.0, options.full_speed, stop, settings.wait_for_database, say
        )
        result = PurgeResult()
        if finished is not None:
            result.found = context.tried(lambda: table.counts(finished))
        if options.dry_run or not options.yes:
            show.plan(settings.table, finished, result, as_json=options.as_json, dry_run=options.dry_run)
            if options.dry_run:
                return
            if result.rows or options.forget_after is not None:
                agreed(f"Purge {counted(result.rows, 'row')} of {settings.table} now?", yes=options.yes)
        with noted(settings, "purge", show.audited(settings.table, finished, result, options.forget_after)) as done:
            try:
                _run(settings, options, context, finished, result)
            finally:
                done.update(purged=result.purged, forgotten=result.forgotten, complete=result.complete)
    with already(f"{counted(result.purged, 'row')} of {settings.table} purged"):
        show.result(settings.table, finished, result, as_json=options.as_json, forgets=options.forget_after is not None)
    if not result.complete:
        raise JobStatusError("stopped; run the same command again for the rest")


def _refuse_contradictions(options: PurgeOptions) -> Finished | None:
    finished = options.finished
    if (options.status is None) != (options.older_than is None):
        raise SettingsError("--status and --older-than go together: purge --status success,error --older-than 30d")
    if finished is None and options.forget_after is None:
        raise SettingsError("nothing to do: give --status and --older-than, or --forget-after")
    if finished is not None and not finished.statuses:
        raise SettingsError("--status names no status; wanted words separated by commas, such as success,error")
    if finished is None and options.dry_run:
        raise SettingsError("--dry-run shows the rows to purge: give --status and --older-than")
    return finished


def _run(
    settings: Settings, options: PurgeOptions, context: PurgeContext, finished: Finished | None, result: PurgeResult
) -> None:
    result.complete = True
    try:
        if finished is not None and result.rows:
            with progress("purging", result.rows) as observe:
                purge(context, finished, result, observe)
        if options.forget_after is not None and result.complete:
            forget(context, _held(settings, context.stop), _before(options.forget_after), result)
    except BadRowError as error:
        raise JobStatusError(
            f"the database refused to remove a row: {error.error_class} ({error.sqlstate}), {error.where}. Another "
            f"table needs it; {counted(result.purged, 'row')} were purged, and nothing else was changed. Remove what "
            "refers to such rows, or declare it ON DELETE CASCADE, and run the same command again"
        ) from None
    except JobStatusError:
        say(f"{counted(result.purged, 'row')} were purged; run the same command again for the rest")
        raise


def _held(settings: Settings, stop: Event) -> dict[str, int]:
    topics = Topics(settings)
    there = topics.describe(settings.dead_letter_topic) is not None
    with PurgeTable(settings.database, settings.table) as table, RangeReader(settings, topics) as reader:
        logs = current_logs(reader, commits(settings, topics), table.progress())
        if not there:
            return held_offsets(logs, reader, None, stop.is_set)
        with RangeReader(settings, topics, topic=settings.dead_letter_topic) as letters:
            return held_offsets(logs, reader, letters, stop.is_set)


def _before(age: int) -> int:
    """The time so many seconds ago, in microseconds since 1970-01-01 UTC."""
    return int((time.time() - age) * 1e6)
