"""`jobstatus replay`."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

import click
from jobstatus_schemas.database_url import TABLE_NAME, TABLE_WORDS

from jobstatus_consumer.cli import undo
from jobstatus_consumer.cli.auditing import noted
from jobstatus_consumer.cli.options import json_flag, with_settings
from jobstatus_consumer.cli.session import (
    PATIENCE,
    agreed,
    already,
    dry_run_flag,
    progress,
    ready_table,
    say,
    show_values_flag,
    stopping,
    yes_flag,
)
from jobstatus_consumer.cli.show import replay as show
from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import decoder_of
from jobstatus_consumer.errors import DatabaseAwayError, JobStatusError, SettingsError, StartError, StoreError
from jobstatus_consumer.kafka import RangeReader, Topics, checkpoint_group, commits, refuse_without_right
from jobstatus_consumer.operations import (
    NOTHING,
    EventFilter,
    NoRows,
    ReplayPlan,
    Rows,
    Scope,
    current_logs,
    find,
    make_plan,
    rebuild,
)
from jobstatus_consumer.operations import checkpoint as places
from jobstatus_consumer.operations import replay as live
from jobstatus_consumer.store import Table, refuse_taken, store_of
from jobstatus_consumer.words import counted, listed


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """The options of one replay."""

    first: str
    last: str
    job_id: tuple[str, ...]
    status: tuple[str, ...]
    worker_id: tuple[str, ...]
    undo: bool
    existing_only: bool
    into: str | None
    print_: bool
    name: str | None
    max_rate: float
    dry_run: bool
    yes: bool
    as_json: bool
    show_values: bool


@click.command("replay")
@with_settings(
    "topic",
    "group_id",
    "database_url",
    "table",
    "target",
    "waiting_budget",
    "statuses",
    wait_for_database=PATIENCE,
)
@click.option(
    "--from",
    "first",
    default="beginning",
    show_default=True,
    metavar="WHERE",
    help='The start: beginning, P:N[,P:N...], or a time: ISO 8601 with a zone, or "2h ago". '
    "A list of offsets also says which partitions are read.",
)
@click.option(
    "--to",
    "last",
    default="now",
    show_default=True,
    metavar="WHERE",
    help="The exclusive end: now (fixed when the command starts), P:N[,P:N...], or a time.",
)
@click.option("--job-id", multiple=True, metavar="ID", help="Only this job; may be repeated.")
@click.option("--status", multiple=True, metavar="WORD", help="Only events with this status; may be repeated.")
@click.option("--worker-id", multiple=True, metavar="ID", help="Only events of this worker; may be repeated.")
@click.option(
    "--undo",
    is_flag=True,
    help="Take back what the selected events made of the table: each row that still shows one of them is set to what "
    "all other events of its job make.",
)
@click.option("--existing-only", is_flag=True, help="Only jobs that have a row: do not bring back purged ones.")
@click.option(
    "--into", metavar="TABLE", help="Create this new table and fill it in bulk, instead of writing to the live one."
)
@click.option(
    "--print", "print_", is_flag=True, help="Print the events as JSON lines, with all values, instead of writing them."
)
@click.option(
    "--name", metavar="NAME", help="Keep a checkpoint in a group of its own; the same command goes on from there."
)
@click.option(
    "--max-rate",
    type=click.FloatRange(0, min_open=True),
    default=None,
    metavar="EVENTS",
    help="At most this many events a second, to leave the database to the live consumer.",
)
@dry_run_flag
@yes_flag
@show_values_flag
@json_flag
def command(settings: Settings, max_rate: float | None, **given: Any) -> None:
    """Read a range of the log again and write its events to the live table.

    Each event keeps its own position, so nothing newer is overwritten and a second replay changes nothing. The
    offsets of the live group are never moved. Without --yes the command first shows what would change, and asks.

    Exit code 0: done. 1: not all of it was done, or some of it was refused. 2: wrong usage.
    """
    options = ReplayOptions(max_rate=max_rate or 0.0, **given)
    _refuse_contradictions(settings, options)
    topics = Topics(settings)
    group = checkpoint_group(settings.group_id, options.name) if options.name is not None else ""
    if group:
        refuse_without_right(topics, group, "READ")
    with stopping() as stop, RangeReader(settings, topics, group=group) as reader:
        if options.print_:
            scope = _scope(settings, options, reader, topics)
            _finished(show.print_events(reader, scope, stop), options, scope)
        elif options.undo:
            _undo(settings, options, reader, topics, stop)
        else:
            _into_a_table(settings, options, reader, topics, stop)


def _refuse_contradictions(settings: Settings, options: ReplayOptions) -> None:
    into, name = options.into is not None, options.name is not None
    for one, other, both in (
        ("--into", "--print", into and options.print_),
        ("--into", "--existing-only", into and options.existing_only),
        ("--into", "--name", into and name),
        ("--print", "--existing-only", options.print_ and options.existing_only),
        ("--print", "--name", options.print_ and name),
        ("--print", "--dry-run", options.print_ and options.dry_run),
        ("--into", "--max-rate", into and options.max_rate),
        ("--name", "--worker-id", name and bool(options.worker_id)),
        ("--undo", "--into", options.undo and into),
        ("--undo", "--print", options.undo and options.print_),
        ("--undo", "--name", options.undo and name),
        ("--undo", "--existing-only", options.undo and options.existing_only),
        ("--undo", "--max-rate", options.undo and options.max_rate),
    ):
        if both:
            raise SettingsError(f"{one} and {other} do not go together")
    if options.undo and options.first == "beginning":
        raise SettingsError("--undo needs --from, the time or the offsets where the bad events begin")
    if options.into is not None and not re.fullmatch(TABLE_NAME, options.into):
        raise SettingsError(f"--into {options.into!r}: wanted {TABLE_WORDS}")
    if options.into is not None and options.into in (settings.table, f"{settings.table}_progress"):
        raise SettingsError(f"--into {options.into} is the live table; omit --into to replay into it")
    if not math.isfinite(options.max_rate):
        raise SettingsError(f"--max-rate {options.max_rate}: wanted a number above 0; omit it for no limit")


def _scope(
    settings: Settings,
    options: ReplayOptions,
    reader: RangeReader,
    topics: Topics,
    known: Mapping[str, int] | None = None,
    done: Mapping[int, int] = NOTHING,
) -> Scope:
    found = find(reader, options.first, options.last, done=done)
    logs = current_logs(reader, commits(settings, topics), known or {})
    for remark in found.remarks:
        say(remark)
    wanted = EventFilter(frozenset(options.job_id), frozenset(options.status), frozenset(options.worker_id))
    return Scope(reader.topic, found.ranges, logs, wanted, decoder_of(settings), found.remarks)


def _undo(settings: Settings, options: ReplayOptions, reader: RangeReader, topics: Topics, stop: Event) -> None:
    with ready_table(settings, to_write=not options.dry_run) as table:
        bad = _scope(settings, options, reader, topics, table.progress())
        whole = replace(bad, ranges=find(reader, "beginning", "now").ranges, wanted=EventFilter(), remarks=())
        request = undo.UndoRequest(
            settings, bad, whole, options.dry_run, options.yes, options.as_json, options.show_values
        )
        undo.run(request, reader, table, stop)


def _into_a_table(settings: Settings, options: ReplayOptions, reader: RangeReader, topics: Topics, stop: Event) -> None:
    with ready_table(settings, to_write=options.into is None and not options.dry_run) as table:
        if options.into is not None:
            _rebuild(settings, options, reader, _scope(settings, options, reader, topics, table.progress()), stop)
            return
        marked = places.mark(
            reader,
            first=options.first,
            jobs=frozenset(options.job_id),
            statuses=frozenset(options.status),
            existing_only=options.existing_only,
            table=settings.table,
        )
        done = places.done_by(reader, options.name, marked) if options.name is not None else NOTHING
        scope, began = _scope(settings, options, reader, topics, table.progress(), done), bool(done)
        if options.name is not None and began:
            places.refuse_overtaken(reader, options.name, scope.ranges)
            say(f"going on with {options.name} at {show.offsets({n: start for n, start, _ in scope.ranges})}")
        if options.dry_run or not options.yes:
            plan = _plan(options, reader, scope, table, stop)
            show.plan(plan, scope, as_json=options.as_json, dry_run=options.dry_run, show_values=options.show_values)
            if not began:
                _refuse_unknown(plan.unknown_jobs, scope)
            if not options.dry_run:
                agreed(f"Replay {counted(plan.events, 'event')} into {table.name} now?", yes=options.yes)
        if not options.dry_run:
            with noted(settings, "replay", _noted(options, scope)) as did:
                result = _live(settings, options, reader, scope, table, marked, stop)
                did.update(applied=result.applied, complete=result.complete, refused=result.refused.total())
            _finished(result, options, scope, began=began)


def _noted(options: ReplayOptions, scope: Scope) -> dict[str, Any]:
    """The plan for the audit log."""
    ranges = [item._asdict() for item in scope.ranges]
    return {"name": options.name, "existing_only": options.existing_only, "ranges": ranges, **scope.wanted.as_dict()}


def _plan(options: ReplayOptions, reader: RangeReader, scope: Scope, rows: Rows, stop: Event) -> ReplayPlan:
    with progress("planning", scope.offsets) as observe:
        plan = make_plan(reader, scope, rows, existing_only=options.existing_only, stop=stop.is_set, observe=observe)
    if not plan.complete:
        raise JobStatusError("stopped while planning; nothing was changed")
    return plan


def _refuse_unknown(jobs: Sequence[str], scope: Scope) -> None:
    if jobs:
        raise JobStatusError(f"{show.no_event_of(jobs, scope)}; nothing was changed")


def _live(
    settings: Settings,
    options: ReplayOptions,
    reader: RangeReader,
    scope: Scope,
    table: Table,
    marked: Mapping[str, Any],
    stop: Event,
) -> live.ReplayResult:
    store = store_of(settings)
    sink = live.LiveTable(store, table if options.existing_only else None, stop, settings.wait_for_database, say)
    keep = places.keeper(reader, marked) if options.name is not None else None
    result = live.ReplayResult()
    if keep is not None:
        # so that a replay killed before its first batch does not begin somewhere else the next time
        keep({item.partition: item.start for item in scope.ranges})
    try:
        with progress("replaying", scope.offsets) as observe:
            live.run(
                reader,
                scope,
                sink,
                stop,
                pace=live.Pace(options.max_rate, stop),
                observe=observe,
                keep=keep,
                result=result,
            )
    except JobStatusError:
        say(show.how_to_go_on(result.positions, scope, options.name))
        raise
    finally:
        store.close()
    with already(
        f"{result.applied:,} events are applied to {table.name}; up to {show.offsets(result.positions)} all is written"
    ):
        show.result(result, as_json=options.as_json, table=str(table.name), applied="applied")
    return result


def _rebuild(settings: Settings, options: ReplayOptions, reader: RangeReader, scope: Scope, stop: Event) -> None:
    into = str(options.into)
    trouble = refuse_taken(settings.database, into)
    if trouble and not options.dry_run:
        raise StartError(f"{trouble}. Nothing was changed")
    if trouble:
        say(trouble)
        scope = replace(scope, remarks=[*scope.remarks, trouble])
    if options.dry_run or not options.yes:
        plan = _plan(options, reader, scope, NoRows(), stop)
        show.rebuild_plan(
            plan, scope, into, as_json=options.as_json, dry_run=options.dry_run, show_values=options.show_values
        )
        _refuse_unknown(plan.unknown_jobs, scope)
    if options.dry_run:
        return
    agreed(f"Make {into} and fill it now?", yes=options.yes)
    try:
        result = _rebuilt(settings, options, reader, scope, stop)
    except DatabaseAwayError as error:
        raise JobStatusError(f"{error}. There is no table {into}; run the same command again to make it") from None
    except StoreError as error:
        raise JobStatusError(f"{error}. There is no table {into}; nothing was changed") from None
    if not result.complete:
        if not stop.is_set():
            _refuse_unknown(_unknown(result, scope), scope)
        raise JobStatusError(f"stopped; there is no table {into}. Run the same command again to make it")
    with already(f"{into} is made and filled"):
        show.result(result, as_json=options.as_json, table=into, applied="rows made")


def _rebuilt(
    settings: Settings, options: ReplayOptions, reader: RangeReader, scope: Scope, stop: Event
) -> live.ReplayResult:
    into = str(options.into)
    with (
        noted(settings, "rebuild", {"into": into, **_noted(options, scope)}) as did,
        progress("reading", scope.offsets) as observe,
    ):
        result = rebuild(reader, scope, settings.database, into, live=settings.table, stop=stop.is_set, observe=observe)
        did.update(applied=result.applied, complete=result.complete)
    return result


def _unknown(result: live.ReplayResult, scope: Scope) -> list[str]:
    return sorted(scope.wanted.jobs - result.counts.seen_jobs)


def _finished(result: live.ReplayResult, options: ReplayOptions, scope: Scope, *, began: bool = False) -> None:
    """Exit with 1 and a message unless all was done. A replay that `began` earlier may have met its jobs then."""
    if not result.complete:
        say(show.how_to_go_on(result.positions, scope, options.name))
        sys.exit(1)
    unknown = _unknown(result, scope)
    if unknown and not began:
        raise JobStatusError(show.no_event_of(unknown, scope))
    if result.refused:
        raise JobStatusError(
            f"the database refused {counted(result.refused.total(), 'event')} ({listed(result.refused)}), such as "
            f"{', '.join(result.refused_at[:3])}; all others are written. Repair the cause and run it again"
        )
