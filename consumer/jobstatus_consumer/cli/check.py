"""`jobstatus check`."""

from __future__ import annotations

import json
import sys

import click

from jobstatus_consumer.cli.options import is_given, json_flag, with_settings
from jobstatus_consumer.config import Settings
from jobstatus_consumer.kafka import Topics
from jobstatus_consumer.store import remarks
from jobstatus_consumer.stream import problems, taken_address
from jobstatus_consumer.words import counted, escaped


@click.command("check")
@with_settings(
    "topic",
    "group_id",
    "dlq_topic",
    "database_url",
    "table",
    "target",
    "dlq_budget_in_a_row",
    "dlq_budget_percent",
    "http_address",
)
@json_flag
def command(settings: Settings, as_json: bool) -> None:
    """List every problem with the broker, the topics, the tables and the rights, each with its remedy.

    Also a used-up budget of dead letters, and an address for metrics and health that was given and cannot be used.

    Exit code 0: no problem; 1: there are problems.
    """
    found = problems(settings, Topics(settings))
    if is_given("http_address"):
        found += taken_address(settings.http_address)
    unusual = remarks(settings.database, settings.table)
    if as_json:
        parts = {"problems": found, **({"remarks": unusual} if unusual else {})}
        click.echo(json.dumps({name: [item._asdict() for item in items] for name, items in parts.items()}))
    elif found:
        click.echo(f"{counted(len(found), 'problem')}:")
        for item in found:
            click.echo(f"  - {escaped(item.what)}\n    {escaped(item.remedy)}")
    else:
        click.echo(f"all is ready: {settings.topic}, {settings.dead_letter_topic}, {settings.table}")
    if unusual and not as_json:
        click.echo("to know:")
        for item in unusual:
            click.echo(f"  - {escaped(item.what)}\n    {escaped(item.remedy)}")
    sys.exit(1 if found else 0)
