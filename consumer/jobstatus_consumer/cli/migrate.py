"""`jobstatus migrate`."""

from __future__ import annotations

import json

import click

from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.cli.session import role_flag
from jobstatus_consumer.config import Settings
from jobstatus_consumer.store import migrate, target_grants, target_of


@click.command("migrate")
@with_settings("database_url", "table", "target")
@click.option("--dry-run", is_flag=True, help="Print the SQL and change nothing.")
@role_flag
@json_flag
def command(settings: Settings, dry_run: bool, role: str | None, as_json: bool) -> None:
    """Create the managed table and the tables beside it, where they do not exist yet.

    Among them is <table>_audit, in which commands and the console note what an operator has changed.
    With a target, also the table of the jobs that wait for their row in it. The target itself is never changed.
    Tables of an earlier version get the columns that they lack, in one transaction.
    A comment on the progress table notes which version has shaped the tables. A later version's tables are refused
    only if this version cannot use them.

    A change waits for its lock for half a second at most, so that consumers go on, and is tried again for a minute.
    Every fourth try waits 1.5 s, after which the server has ended an autovacuum.
    Then the command ends with exit code 1 and names the session that uses the table; nothing was changed.

    It grants no rights: with a target, --dry-run also prints the GRANTs that the consumer's role needs.
    Running it again changes nothing. A table of the same name with other columns is refused.
    """
    target = target_of(settings)
    statements = migrate(settings.database, settings.table, target=target, dry_run=dry_run)
    grants = target_grants(settings.database, settings.table, target, role or "") if dry_run and target else []
    if as_json:
        more = {"grants": grants} if grants else {}
        click.echo(json.dumps({"dry_run": dry_run, "statements": statements, **more}))
    elif dry_run:
        for statement in statements:
            click.echo(statement.rstrip(";") + ";\n")
        if grants:
            click.echo("-- the rights of the consumer's role; migrate does not grant them")
            click.echo(";\n".join(grants) + ";")
    else:
        beside = ["_progress", "_purged", "_audit", *(["_waiting"] if target else [])]
        click.echo(f"{settings.table} is ready, and beside it {', '.join(beside)}")
