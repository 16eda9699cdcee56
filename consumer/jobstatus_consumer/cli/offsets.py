"""`jobstatus offsets show|reset`: the offsets of the consumer group, and how to move them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import click
from rich.table import Table as Shown

from jobstatus_consumer.cli.auditing import noted
from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.cli.session import agreed, already, dry_run_flag, ready_table, yes_flag
from jobstatus_consumer.cli.show.screen import narrow, plain_console
from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import SettingsError
from jobstatus_consumer.kafka import RangeReader, Topics, refuse_active
from jobstatus_consumer.operations import (
    Move,
    PartitionState,
    move_group,
    move_of,
    offsets_at,
    parse_bound,
    partition_states,
)
from jobstatus_consumer.words import counted

FIELDS = ("topic", "group_id", "database_url", "table")


@click.group("offsets")
def command() -> None:
    """Show or move the offsets of the consumer group."""


@command.command("show")
@with_settings(*FIELDS)
@json_flag
def show(settings: Settings, as_json: bool) -> None:
    """Show what the log has, what the group has committed, and what the table has."""
    topics = Topics(settings)
    with RangeReader(settings, topics) as reader, ready_table(settings, to_write=False) as table:
        places = partition_states(settings, topics, reader, table.progress())
    found = topics.group_facts(settings.group_id)
    word, members = found.state, len(found.members)
    if as_json:
        fields = [
            {
                "partition": item.log.partition,
                "low": item.watermarks.low,
                "high": item.watermarks.high,
                "committed": item.commit.offset,
                "log_id": item.log.id,
                "table": item.known,
                "lag": item.lag,
                "made_again": item.made_again,
                "lost": item.lost,
            }
            for item in places
        ]
        click.echo(json.dumps({"group": settings.group_id, "state": word, "members": members, "partitions": fields}))
        return
    console = plain_console(soft_wrap=True)
    console.print(f"group {settings.group_id}: {word.lower()}, {counted(members, 'member')}")
    console.print(_table(settings, places))
    for item in places:
        if item.made_again or item.lost:
            what = "is of a topic that was made again" if item.made_again else "is no longer in the log"
            console.print(f"partition {item.log.partition}: what the group committed {what}")


def _table(settings: Settings, places: list[PartitionState]) -> Shown:
    table = narrow("partition", title=settings.topic)
    for name in ("first", "committed", "table", "end", "lag"):
        table.add_column(name, justify="right", no_wrap=True)
    for item in places:
        table.add_row(
            str(item.log.partition),
            f"{item.watermarks.low:,}",
            _number(item.commit.offset),
            _number(item.known),
            f"{item.watermarks.high:,}",
            f"{item.lag:,}",
        )
    return table


def _number(offset: int | None) -> str:
    return "-" if offset is None else f"{offset:,}"


@command.command("reset")
@with_settings(*FIELDS)
@click.option(
    "--to",
    "where",
    required=True,
    metavar="WHERE",
    help='beginning, now, P:N[,P:N...], or a time: ISO 8601 with a zone, or "2h ago".',
)
@dry_run_flag
@yes_flag
@json_flag
def reset_offsets(settings: Settings, where: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Move the group's offsets, and the table's progress with them. The group must have no members.

    After a move back, events are read again and change nothing that is newer. After a move forward, the events in
    between are never written. To write events again without moving the group, use replay.
    """
    _check_where(where)
    topics = Topics(settings)
    refuse_active(settings, topics)
    with RangeReader(settings, topics) as reader, ready_table(settings, to_write=not dry_run) as table:
        with _in_words_of_to():
            targets = offsets_at(reader, where)
        places = {item.log.partition: item for item in partition_states(settings, topics, reader, table.progress())}
        moves = [move_of(places[number], offset) for number, offset in targets.items()]
        if (dry_run and not as_json) or not (dry_run or yes):
            _tell(moves, places, as_json=as_json)
        if not dry_run:
            agreed(f"Move the group {settings.group_id} now?", yes=yes)
            refuse_active(settings, topics)
            plan = {"to": where, "group": settings.group_id, "moves": [move.as_dict() for move in moves]}
            with noted(settings, "offsets reset", plan):
                move_group(settings, topics, table, moves)
    goes_on = f"the group {settings.group_id} goes on at {', '.join(f'{m.log.partition}:{m.after}' for m in moves)}"
    with already("" if dry_run else goes_on):
        if as_json:
            fields = {"dry_run": dry_run, "group": settings.group_id, "moves": [move.as_dict() for move in moves]}
            click.echo(json.dumps(fields))
        elif not dry_run:
            if yes:
                _tell(moves, places, as_json=False)
            click.echo(goes_on)


def _check_where(where: str) -> None:
    """Refuse words that mean nothing before the broker is asked."""
    with _in_words_of_to():
        if where.strip() != "now":
            parse_bound("--from", where, datetime.now(UTC))


@contextmanager
def _in_words_of_to() -> Iterator[None]:
    """Let a message about `--from` name `--to`, which may also be now."""
    try:
        yield
    except SettingsError as error:
        raise SettingsError(str(error).replace("--from", "--to").replace("beginning,", "beginning, now,")) from None


def _tell(moves: list[Move], places: Mapping[int, PartitionState], *, as_json: bool) -> None:
    # the plan goes to stdout, unless that is for a JSON document
    for log, before, after in moves:
        at = places[log.partition].watermarks.low if before is None else before
        again, never = (
            counted(at - after, "offset comes", "offsets come"),
            counted(after - at, "offset is", "offsets are"),
        )
        what = f"{again} again" if after < at else f"{never} NEVER written"
        said = f"partition {log.partition}: {'-' if before is None else before} -> {after}"
        fresh = f", as a new log {log.id}" if log != places[log.partition].log else ""
        click.echo(f"{said}, {what if after != at else 'as it is'}{fresh}", err=as_json)
