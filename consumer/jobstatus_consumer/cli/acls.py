"""`jobstatus acls`."""

from __future__ import annotations

import json

import click

from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import SettingsError
from jobstatus_consumer.kafka import PRINCIPALS, acl_commands


@click.command(
    "acls", epilog="Kinds: " + "; ".join(f"{name} {item.purpose}" for name, item in PRINCIPALS.items()) + "."
)
@click.argument("wanted", metavar="[KIND]...", nargs=-1, type=click.Choice(list(PRINCIPALS)))
@with_settings("topic", "group_id", "dlq_topic")
@click.option(
    "--principal", metavar="User:NAME", help="The client on the broker, with one KIND. [default: User:jobstatus-KIND]"
)
@click.option("--command-config", metavar="FILE", help="The file with which kafka-acls.sh itself logs in.")
@json_flag
def command(
    settings: Settings, wanted: tuple[str, ...], principal: str | None, command_config: str | None, as_json: bool
) -> None:
    """Print the ACLs that each KIND of client needs, and no more; all of them without a KIND.

    The output is for a shell, with kafka-acls.sh in its PATH: jobstatus acls consumer --principal User:app | sh.
    Nothing is changed, and no server is asked.
    """
    if principal is not None and len(wanted) != 1:
        raise SettingsError("--principal names one client, so give one KIND with it, such as: jobstatus acls consumer")
    if principal is not None and ":" not in principal:
        raise SettingsError(f"--principal: {principal!r} has no type; wanted User:{principal}")
    found = {
        name: acl_commands(settings, name, principal or f"User:jobstatus-{name}", config=command_config or "")
        for name in wanted or PRINCIPALS
    }
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, lines in found.items():
        click.echo("\n".join([f"# {name}: {PRINCIPALS[name].purpose}", *lines]))
