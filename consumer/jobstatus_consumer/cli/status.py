"""`jobstatus status`."""

from __future__ import annotations

import json

import click
from rich.table import Table

from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.cli.show.screen import plain_console
from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import StartError
from jobstatus_consumer.kafka.group import GroupView, group_view
from jobstatus_consumer.kafka.topics import Topics, unfit
from jobstatus_consumer.store import blockers, rows_by_status


@click.command("status")
@with_settings("topic", "group_id", "database_url", "table")
@json_flag
def command(settings: Settings, as_json: bool) -> None:
    """Show the group's lag by partition, and the number of rows by status."""
    topics = Topics(settings)
    trouble = unfit(topics.describe(settings.topic), settings.topic)
    if trouble:
        raise StartError(trouble)
    view = group_view(settings, topics)
    rows = rows_by_status(settings.database, settings.table)
    blocked = blockers(settings.database, settings.table)
    if as_json:
        partitions = [{**item._asdict(), "lag": item.lag} for item in view.partitions]
        click.echo(
            json.dumps(
                {
                    "group": settings.group_id,
                    "state": view.state,
                    "members": view.members,
                    "lag": view.lag,
                    "partitions": partitions,
                    "rows": rows,
                    "blockers": [item._asdict() for item in blocked],
                }
            )
        )
        return
    console = plain_console()
    console.print(f"group {settings.group_id}: {view.state.lower()}, {view.members} members, lag {view.lag:,}")
    console.print(_lag_table(settings.topic, view))
    console.print(_row_table(settings.table, rows))
    for item in blocked:
        console.print(str(item), markup=False)


def _lag_table(topic: str, view: GroupView) -> Table:
    table = Table("partition", title=topic, title_justify="left")
    for name in ("first", "committed", "end", "lag"):
        table.add_column(name, justify="right")
    for item in view.partitions:
        committed = "-" if item.committed is None else f"{item.committed:,}"
        table.add_row(str(item.partition), f"{item.low:,}", committed, f"{item.high:,}", f"{item.lag:,}")
    return table


def _row_table(name: str, rows: dict[str, int]) -> Table:
    table = Table("status", title=name, title_justify="left")
    table.add_column("rows", justify="right")
    for status, count in sorted(rows.items(), key=lambda item: -item[1]):
        table.add_row(status, f"{count:,}")
    return table
