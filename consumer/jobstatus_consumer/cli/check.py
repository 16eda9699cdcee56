"""`jobstatus check`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click

from jobstatus_consumer.cli.options import is_given, json_flag, with_settings
from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import StoreError
from jobstatus_consumer.kafka import Topics
from jobstatus_consumer.store import Problem, refused_words, remarks, target_of, target_remarks
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
    "statuses",
    "dlq_budget_in_a_row",
    "dlq_budget_percent",
    "http_address",
)
@json_flag
def command(settings: Settings, as_json: bool) -> None:
    """List every problem with the broker, the topics, the tables and the rights, each with its remedy.

    Also a used-up budget of dead letters, and an address for metrics and health that was given and cannot be used.

    With a target its statements are prepared, and its `set` is evaluated for each of --statuses: what your table
    refuses is named with the expression and the word. A missing right is named with its GRANT.

    Exit code 0: no problem; 1: there are problems.
    """
    found = problems(settings, Topics(settings))
    if is_given("http_address"):
        found += taken_address(settings.http_address)
    found += _refused(settings, found)
    unusual = _unusual(settings)
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


def _unusual(settings: Settings) -> list[Problem]:
    target = target_of(settings)
    if target is None:
        return remarks(settings.database, settings.table)
    # a trigger of the application's is no trigger of the managed table, where both are the same by mistake
    found = [] if str(target.table) == settings.table else remarks(settings.database, settings.table)
    found += target_remarks(settings.database, settings.table, target)
    if settings.statuses is None:
        what = f"no status was tried on {target.table}, because JOBSTATUS_STATUSES is not set"
        found.append(Problem(what, "with it, check names each word that the table would refuse"))
    return found


def _refused(settings: Settings, found: Sequence[Problem]) -> list[Problem]:
    """What the target refuses, where nothing else was found: a consumer would make dead letters of it."""
    target = target_of(settings)
    if target is None or found:
        return []
    try:
        return refused_words(settings.database, settings.table, target, sorted(settings.statuses or ()))
    except StoreError as error:
        return [Problem(f"the target was not tried: {error}", "jobstatus check")]
