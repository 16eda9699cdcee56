"""`jobstatus target init|sql|sync`: a table of the user's own."""

from __future__ import annotations

import json
import re
import sys
from threading import Event

import click
from jobstatus_schemas.database_url import TABLE_NAME

from jobstatus_consumer.cli.auditing import noted
from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.cli.session import (
    already,
    dry_run_flag,
    progress,
    ready_table,
    refuse,
    role_flag,
    say,
    stopping,
)
from jobstatus_consumer.cli.show import target as screen
from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import DatabaseAwayError, JobStatusError, SettingsError
from jobstatus_consumer.operations import TargetReport, compare_target, sync_target
from jobstatus_consumer.store import (
    Target,
    TargetTable,
    compare_problems,
    described,
    draft,
    target_of,
    target_sql,
)

NO_TARGET = "no target is set; give the target file with --target or JOBSTATUS_TARGET"


@click.group("target")
def command() -> None:
    """A table of yours, which a consumer writes beside its own."""


def _target(settings: Settings) -> Target:
    target = target_of(settings)
    if target is None:
        raise SettingsError(NO_TARGET)
    return target


@command.command("init")
@click.argument("name", metavar="TABLE")
@with_settings("database_url", "statuses")
@click.option("--output", metavar="FILE", help="Write to this file, which must not exist yet. [default: stdout]")
def init(settings: Settings, name: str, output: str | None) -> None:
    """Write a first target file for your TABLE.

    It is made from the database's catalog, and for you to correct. The key is guessed from the unique indexes, the
    columns from their names and types, and the words of the status from an enum or a CHECK constraint. What cannot be
    guessed is a comment. TABLE itself is not read or changed.
    """
    text = draft(described(settings.database, name), sorted(settings.statuses or ()))
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        with open(output, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SettingsError(f"--output: {output} exists already. Nothing was written; give another name") from None
    except OSError as error:
        raise SettingsError(f"--output: {output}: {error.strerror}. Nothing was written") from None
    say(f"{output} is written. Look at each line, then:")
    say(f"export JOBSTATUS_TARGET={output} JOBSTATUS_TABLE={_state(name)}; jobstatus migrate; jobstatus check")


def _state(name: str) -> str:
    """A name for the managed table beside the user's table, which a shell takes as it is."""
    suggested = f"{name}_status"
    return suggested if re.fullmatch(TABLE_NAME, suggested) else "jobs_status"


@command.command("sql")
@with_settings("database_url", "table", "target")
@role_flag
@json_flag
def sql(settings: Settings, role: str | None, as_json: bool) -> None:
    """Print the SQL that the target file makes.

    The statements are printed as PREPARE takes them, so that you can explain them in psql. A consumer sends the first
    one for each batch, and the second one for jobs that wait. The rights that they need are printed as GRANTs. Nothing
    is changed.
    """
    found = target_sql(settings.database, settings.table, _target(settings), role or "")
    if as_json:
        click.echo(json.dumps({"write": found.write, "settle": found.settle, "grants": found.grants}))
        return
    click.echo(f"-- written with each batch\n{found.write};\n")
    click.echo(f"-- what waits, tried again\n{found.settle};\n")
    click.echo("-- the rights of the consumer's role")
    for line in found.grants:
        click.echo(f"{line};")


def _synced(settings: Settings, table: TargetTable, stop: Event) -> TargetReport:
    room = settings.waiting_budget // 2
    with noted(settings, "target sync", {"target": str(table.target.table), "at_a_time": room}) as did:
        report = sync_target(table, room, stop.wait, progress)
        did.update(states=report.states, parked=report.parked, complete=report.complete)
    return report


@command.command("sync")
@with_settings("database_url", "table", "target", "waiting_budget")
@dry_run_flag
@json_flag
def sync(settings: Settings, dry_run: bool, as_json: bool) -> None:
    """Find rows that differ from their state, and have them written.

    Rows differ after your table was restored alone, or was changed by hand. Each state is compared with its row. The
    jobs that differ are put into waiting, and a running consumer writes their rows; this command writes none. No more
    jobs than half of --waiting-budget are made to wait at a time.

    These are no differences: a job that waits already, a key that is NULL, a row that `where` keeps as it is, and a
    job without a row, unless missing = "insert". A column whose value is made from the clock or at random, such as
    now(), is not compared.

    Exit code 0: done. 1: the command was stopped or failed; what was put into waiting until then stays there.
    """
    target = _target(settings)
    ready_table(settings, to_write=not dry_run).close()
    refuse(compare_problems(settings.database, settings.table, target))
    with stopping() as stop, TargetTable(settings.database, settings.table, target) as table:
        table.connect()
        try:
            if dry_run:
                report = compare_target(table, stop.is_set, progress=progress)
            else:
                report = _synced(settings, table, stop)
        except DatabaseAwayError as error:
            raise JobStatusError(f"{error}. Nothing is known of the rest; run it again") from None
    with already("" if dry_run else f"{report.parked:,} jobs wait for a consumer"):
        if as_json:
            click.echo(json.dumps(screen.sync_as_dict(report, dry_run=dry_run)))
        else:
            screen.show_sync(report, settings.table, dry_run=dry_run)
    if not report.complete:
        say("stopped; nothing is known of the rest. Run it again")
        sys.exit(1)
