"""`jobstatus grants`."""

from __future__ import annotations

import json

import click

from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import SettingsError
from jobstatus_consumer.store import ROLES, Role, TableName, grants_on_target, role_grants, target_of


@click.command("grants", epilog="Roles: " + "; ".join(f"{name} {role.purpose}" for name, role in ROLES.items()) + ".")
@click.argument("wanted", metavar="[ROLE]...", nargs=-1, type=click.Choice(list(ROLES)))
@with_settings("database_url", "table", "target")
@click.option(
    "--role", metavar="NAME", help="The name of the user in PostgreSQL, with one ROLE. [default: jobstatus_ROLE]"
)
@json_flag
def command(settings: Settings, wanted: tuple[str, ...], role: str | None, as_json: bool) -> None:
    """Print the GRANTs that each ROLE needs, and no more; all of them without a ROLE.

    The output is for psql, as the owner of the tables: jobstatus grants consumer --role app | psql "$OWNER_URL".
    Nothing is changed, and no user is created. Without a target no server is asked.

    A table without a schema in its name is taken to be in the schema public.
    """
    if role is not None and len(wanted) != 1:
        raise SettingsError("--role names one user, so give one ROLE with it, such as: jobstatus grants consumer")
    found = {name: _grants(settings, ROLES[name], role or f"jobstatus_{name}") for name in wanted or ROLES}
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, lines in found.items():
        click.echo("\n".join([f"-- {name}: {ROLES[name].purpose}", *(f"{line};" for line in lines)]))


def _grants(settings: Settings, wanted: Role, role: str) -> list[str]:
    target = target_of(settings)
    place = TableName.parse(settings.table)
    url = settings.database if settings.has_database else ""
    ours = role_grants(wanted, place, role, url=url, with_waiting=target is not None)
    if target is None:
        return ours
    more = grants_on_target(settings.database, settings.table, target, wanted, role)
    return [*ours, *(line for line in more if line not in ours)]
