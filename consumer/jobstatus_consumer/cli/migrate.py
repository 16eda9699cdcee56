"""`jobstatus migrate`."""

from __future__ import annotations

import json

import click

from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.config import Settings
from jobstatus_consumer.store import migrate, target_of


@click.command("migrate")
@with_settings("database_url", "table", "target")
@click.option("--dry-run", is_flag=True, help="Print the SQL and change nothing.")
@json_flag
def command(settings: Settings, dry_run: bool, as_json: bool) -> None:
    """Create the managed table and the tables beside it, where they do not exist yet.

    With a target, also the table of the jobs that wait for their row in it. The target itself is never changed.
    A progress table of an earlier version gets the columns that it lacks.
    Running it again changes nothing. A table of the same name with other columns is refused.
    """
    target = target_of(settings)
    statements = migrate(settings.database, settings.table, target=target, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, "statements": statements}))
    elif dry_run:
        for statement in statements:
            click.echo(statement.rstrip(";") + ";\n")
    else:
        waiting = "" if target is None else f", {settings.table}_waiting"
        click.echo(f"{settings.table}{waiting} and {settings.table}_progress are ready")
