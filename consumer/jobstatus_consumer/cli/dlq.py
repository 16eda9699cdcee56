"""`jobstatus dlq list|show|redrive|purge`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Any, Final

import click

from jobstatus_consumer.cli.auditing import noted
from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.cli.session import (
    PATIENCE,
    agreed,
    already,
    dry_run_flag,
    ready_table,
    say,
    show_values_flag,
    stopping,
    yes_flag,
)
from jobstatus_consumer.cli.show import dead_letters as show
from jobstatus_consumer.cli.show.screen import visible
from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import decoder_of
from jobstatus_consumer.errors import JobStatusError, SettingsError, StartError
from jobstatus_consumer.kafka import RangeReader, Topics, clear_budget, refuse_active
from jobstatus_consumer.operations import (
    JudgedLetter,
    LetterSelection,
    LiveTable,
    OffsetRange,
    Originals,
    RedriveResult,
    decoded_or_not,
    find,
    parse_positions,
    redrive,
    survey,
)
from jobstatus_consumer.store import Table, store_of
from jobstatus_consumer.words import counted, listed

STAGES: Final = ("decode", "validate", "write")
FIELDS: Final = ("topic", "dlq_topic", "group_id", "database_url", "table", "statuses")


@click.group("dlq")
def command() -> None:
    """Dead letters: list them, apply them again once their cause is repaired, or remove them."""


@command.group("budget")
def budget() -> None:
    """The count of dead letters by which a consumer stops."""


@budget.command("clear")
@with_settings("topic", "group_id", "database_url", "table")
@json_flag
def clear(settings: Settings, as_json: bool) -> None:
    """Count dead letters from zero again, in every partition. The group must have no members.

    Use it after you have dealt with the dead letters that stopped the consumers. The database is needed for the audit
    log alone.
    """
    topics = Topics(settings)
    refuse_active(settings, topics)
    with noted(settings, "dlq budget clear", {"topic": settings.topic, "group": settings.group_id}) as did:
        cleared = clear_budget(settings, topics)
        did.update(partitions=cleared)
    with already(f"the count of dead letters of the group {settings.group_id} is cleared"):
        if as_json:
            click.echo(json.dumps({"group": settings.group_id, "partitions": cleared}))
        else:
            some = ", ".join(map(str, cleared)) or "none had a count"
            click.echo(f"the count of dead letters of the group {settings.group_id} is cleared; partitions: {some}")


def _selecting(run: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--offsets", metavar="P:N[,P:N...]", help="Only these, by partition and offset of the original."),
        click.option("--job-id", multiple=True, metavar="ID", help="Only of this job; may be repeated."),
        click.option("--reason", multiple=True, metavar="WORD", help="Only with this reason; may be repeated."),
        click.option("--stage", multiple=True, type=click.Choice(STAGES), help="Only of this stage; may be repeated."),
    ):
        run = option(run)
    return run


def _selection(settings: Settings, given: Mapping[str, Any]) -> LetterSelection:
    return LetterSelection(
        settings.topic,
        frozenset(given["stage"]),
        frozenset(given["reason"]),
        frozenset(given["job_id"]),
        frozenset() if given["offsets"] is None else frozenset(parse_positions(given["offsets"])),
        settings.group_id,
        settings.table,
    )


@contextmanager
def _opened(settings: Settings, *, to_write: bool = False) -> Iterator[tuple[RangeReader, Table, Event]]:
    with (
        stopping() as stop,
        ready_table(settings, to_write=to_write) as table,
        RangeReader(settings, Topics(settings), topic=settings.dead_letter_topic) as reader,
    ):
        yield reader, table, stop
        _refuse_stopped(stop, "run it again for the rest")


def _originals(settings: Settings, stop: Event) -> Originals:
    return Originals(lambda: RangeReader(settings, Topics(settings)), stop.is_set)


def _refuse_stopped(stop: Event, what_now: str) -> None:
    if stop.is_set():
        raise JobStatusError(f"stopped; {what_now}")


@command.command("list")
@with_settings(*FIELDS)
@_selecting
@click.option("--each", is_flag=True, help="Also print one line for each dead letter.")
@json_flag
def list_letters(settings: Settings, each: bool, as_json: bool, **given: Any) -> None:
    """Count dead letters by stage and cause.

    Settled: the row of the job is at or past it. Open: it was not written, and would change the row. Elsewhere: it
    is of another topic, consumer group or table, and only that deployment can judge it.
    """
    found: list[JudgedLetter] = []

    def keep(item: JudgedLetter) -> None:
        if each:
            found.append(item._replace(letter=item.letter.without_value()))

    selection = _selection(settings, given)
    with _opened(settings) as (reader, table, stop):
        overview = survey(reader, table, selection, decoder_of(settings), stop.is_set, keep)
    if as_json:
        groups = [group.as_dict() for _, group in sorted(overview.groups.items())]
        fields: dict[str, Any] = {
            "topic": settings.dead_letter_topic,
            "open": overview.open,
            "groups": groups,
            "other_topics": overview.topics,
            "other_groups": [
                {"consumer_group": group, "table": name, "count": count}
                for (group, name), count in sorted(overview.others.items())
            ],
            "duplicates": overview.duplicates,
            "foreign": overview.foreign,
        }
        if each:
            fields["letters"] = [show.described(item) for item in found]
        click.echo(json.dumps(fields))
        return
    show.overview(settings, overview)
    for item in found:
        state = show.whose(item.letter, settings) if item.state == "elsewhere" else item.state
        line = f"{item.letter.position}  {state}  {item.letter.job_id!r}  {' '.join(item.letter.cause)}"
        click.echo(visible(line.rstrip()))


@command.command("show")
@click.argument("position", metavar="P:N")
@with_settings(*FIELDS)
@show_values_flag
@json_flag
def show_letter(settings: Settings, position: str, show_values: bool, as_json: bool) -> None:
    """Show one dead letter, by partition and offset of the original, decoded as far as possible."""
    selection = LetterSelection(
        settings.topic, positions=frozenset(parse_positions(position)), group=settings.group_id, table=settings.table
    )
    found: list[JudgedLetter] = []
    with _opened(settings) as (reader, table, stop):
        survey(reader, table, selection, decoder_of(settings), stop.is_set, found.append)
        with _originals(settings, stop) as originals:
            fields = [_shown(settings, item, originals, show_values=show_values) for item in found]
    if not found:
        raise StartError(f"no dead letter of {position} in {settings.dead_letter_topic}")
    if as_json:
        click.echo(json.dumps({"letters": fields}))
        return
    for one in fields:
        for name, value in one.items():
            text = json.dumps(value) if isinstance(value, dict) else str(value)
            click.echo(f"{name:>15}  {visible(text)}")


def _shown(settings: Settings, item: JudgedLetter, originals: Originals, *, show_values: bool) -> dict[str, Any]:
    """One letter for `dlq show`. What was cut is read from the log, if the log is that of this deployment."""
    letter = item.letter
    if not letter.cut:
        return show.described(item, show_values=show_values)
    whole = originals.whole(letter) if letter.original.topic == settings.topic else None
    if whole is None:
        return {**show.described(item, show_values=show_values), "original": "no longer in the log"}
    item = item._replace(letter=whole, found=decoded_or_not(decoder_of(settings), whole.original))
    return {**show.described(item, show_values=show_values), "original": "read from the log"}


@command.command("redrive")
@with_settings(*FIELDS, "target", "waiting_budget", wait_for_database=PATIENCE)
@_selecting
@dry_run_flag
@yes_flag
@json_flag
def redrive_letters(settings: Settings, dry_run: bool, yes: bool, as_json: bool, **given: Any) -> None:
    """Apply open dead letters again, each with its original position, so nothing newer is overwritten.

    What fails again stays a dead letter, and the exit code is 1. A second redrive changes nothing.
    """
    selection = _selection(settings, given)
    with _opened(settings, to_write=not dry_run) as (reader, table, stop):
        done = None
        if dry_run or not yes:
            planned = _redrive(settings, selection, reader, table, stop, None)
            _refuse_stopped(stop, "nothing was changed")
            _show_redrive(planned, as_json=as_json and dry_run, planned=True, to_stderr=as_json)
            if dry_run:
                return
            if planned.tried:
                agreed(f"Apply {counted(planned.tried, 'event')} to {settings.table} now?", yes=yes)
            else:
                done = planned
        done = done or _apply(settings, selection, reader, table, stop, given)
    with already(f"{settings.table} has what could be applied"):
        _show_redrive(done, as_json=as_json, planned=False)
    if done.failed:
        raise JobStatusError(f"{done.failed} failed again and stay dead letters: {_failures(done)}")


def _apply(
    settings: Settings,
    selection: LetterSelection,
    reader: RangeReader,
    table: Table,
    stop: Event,
    given: Mapping[str, Any],
) -> RedriveResult:
    store = store_of(settings)
    try:
        sink = LiveTable(store, None, stop, settings.wait_for_database, say)
        with noted(settings, "redrive", {"topic": settings.topic, **given}) as result:
            done = _redrive(settings, selection, reader, table, stop, sink)
            result.update(done.as_dict())
        return done
    finally:
        store.close()


def _redrive(
    settings: Settings,
    selection: LetterSelection,
    reader: RangeReader,
    table: Table,
    stop: Event,
    sink: LiveTable | None,
) -> RedriveResult:
    with _originals(settings, stop) as originals:
        return redrive(reader, table, selection, decoder_of(settings), stop.is_set, sink, originals.whole)


def _failures(done: RedriveResult) -> str:
    return listed({**done.undecodable, **done.result.refused})


def _show_redrive(done: RedriveResult, *, as_json: bool, planned: bool, to_stderr: bool = False) -> None:
    if as_json:
        click.echo(json.dumps({"dry_run": planned, **done.as_dict()}))
        return
    head = f"{counted(done.selected, 'dead letter')} selected, {done.settled:,} settled already"
    if done.elsewhere:
        head += f", {done.elsewhere:,} of another topic, group or table, which are left alone"
    if not planned:
        click.echo(
            f"{head}; {done.result.applied:,} applied, {done.result.merged:,} merged, "
            f"{done.result.stale.total():,} stale, {done.failed:,} failed again"
        )
        return
    still = [f"no events: {listed(done.undecodable)}"] if done.undecodable else []
    lines = [f"{head}; {done.tried:,} would be tried", *(f"  {visible(text)}" for text in (*still, *done.examples))]
    click.echo("\n".join(lines), err=to_stderr)


@command.command("purge")
@with_settings(*FIELDS)
@click.option(
    "--before", required=True, metavar="WHERE", help="P:N[,P:N...] of the dead letters' own topic, or a time."
)
@click.option(
    "--even-open",
    is_flag=True,
    help="Also remove open dead letters, those of another topic, group or table, and records of another program: they "
    "are lost then.",
)
@dry_run_flag
@yes_flag
@json_flag
def purge(settings: Settings, before: str, even_open: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove the dead letters before an offset or a time.

    Refused if open ones, those of another topic, group or table, or records that are no dead letters of jobstatus are
    among them.
    """
    with _opened(settings) as (reader, table, stop):
        ranges = _before(reader, before)
        own = LetterSelection(settings.topic, group=settings.group_id, table=settings.table)
        found = survey(reader, table, own, decoder_of(settings), stop.is_set, ranges=ranges)
        # what was not counted may be open
        _refuse_stopped(stop, "nothing was removed")
        counts = {
            "settled": found.settled,
            "open": found.open,
            "elsewhere": found.topics.total() + found.others.total(),
            "of_other_groups": found.others.total(),
            "foreign": found.foreign,
        }
        ends = {item.partition: item.end for item in ranges if item.size}
        done = not dry_run and _purge(settings, ends, counts, stop, even_open=even_open, yes=yes)
    fields = {
        "dry_run": dry_run,
        "before": {str(number): end for number, end in ends.items()},
        "removed": done,
        **counts,
    }
    with already(f"the records before {before} are removed" if done else ""):
        if as_json:
            click.echo(json.dumps(fields))
        else:
            lay = _counted(counts)
            click.echo(f"removed {lay} before {before}" if done else f"nothing removed: {lay} lie before {before}")


def _before(reader: RangeReader, before: str) -> Sequence[OffsetRange]:
    try:
        return find(reader, "beginning", before).ranges
    except SettingsError as error:
        raise SettingsError(str(error).replace("--to", "--before")) from None


def _counted(counts: Mapping[str, int]) -> str:
    parts = [f"{counts['settled']:,} settled and {counts['open']:,} open dead letters"]
    of_other_topics = counts["elsewhere"] - counts["of_other_groups"]
    if of_other_topics:
        parts.append(f"{of_other_topics:,} of another topic")
    if counts["of_other_groups"]:
        parts.append(f"{counts['of_other_groups']:,} of another group or table")
    if counts["foreign"]:
        parts.append(f"{counts['foreign']:,} records that are no dead letters of jobstatus")
    return " and ".join(parts)


def _refuse_to_lose(counts: Mapping[str, int]) -> None:
    found = {
        "open dead letters": counts["open"],
        "of another topic, which cannot be judged here,": counts["elsewhere"] - counts["of_other_groups"],
        "of another group or table, which cannot be judged here,": counts["of_other_groups"],
        "records that are no dead letters of jobstatus": counts["foreign"],
    }
    lie = " and ".join(f"{count:,} {what}" for what, count in found.items() if count)
    if lie:
        raise StartError(
            f"{lie} lie before it, which would be lost; nothing was removed. jobstatus dlq list --each names the dead "
            "letters, jobstatus dlq redrive applies the open ones, --even-open removes everything before it"
        )


def _purge(
    settings: Settings, ends: Mapping[int, int], counts: Mapping[str, int], stop: Event, *, even_open: bool, yes: bool
) -> bool:
    if not even_open:
        _refuse_to_lose(counts)
    if not ends:
        return False
    agreed(f"Remove {_counted(counts)} from {settings.dead_letter_topic} for good?", yes=yes)
    _refuse_stopped(stop, "nothing was removed")
    before = {str(number): end for number, end in ends.items()}
    with noted(settings, "dlq purge", {"topic": settings.dead_letter_topic, "before": before, **counts}):
        Topics(settings).delete_records(settings.dead_letter_topic, ends)
    return True
