"""What `jobstatus replay` prints: its plan, its result, and how to go on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from threading import Event
from typing import Any

import click

from jobstatus_consumer.cli.show.screen import plain_console, print_fitted
from jobstatus_consumer.kafka import RangeReader
from jobstatus_consumer.operations import ReplayPlan, ReplayResult, Scope, reached, shown_ms
from jobstatus_consumer.records import RawRecord, Rejected
from jobstatus_consumer.words import counted, listed


def offsets(found: Mapping[int, int]) -> str:
    """Offsets in the form that `--from` takes."""
    return ",".join(f"{number}:{offset}" for number, offset in sorted(found.items()))


def no_event_of(jobs: Sequence[str], scope: Scope) -> str:
    """The message for jobs without an event in the scope."""
    named = ", ".join(repr(job) for job in jobs[:5]) + (", ..." if len(jobs) > 5 else "")
    return f"no event of {len(jobs)} of the jobs in {scope.topic}, {ranges_of(scope)}: {named}"


def how_to_go_on(positions: Mapping[int, int], scope: Scope, name: str | None) -> str:
    """The message of a replay that was stopped, with the options that go on from there."""
    if name:
        return f"stopped; the checkpoint is kept: give --name {name} and the same options to go on"
    ends = {item.partition: item.end for item in scope.ranges}
    return f"stopped; to go on, give the same options with --from {offsets(positions)} --to {offsets(ends)}"


def plan(found: ReplayPlan, scope: Scope, *, as_json: bool, dry_run: bool, show_values: bool) -> None:
    """Print the plan to stdout. With `as_json` stdout is for one document: the plan's own only in a dry run."""
    if as_json and dry_run:
        click.echo(json.dumps({"dry_run": True, **_as_dict(found, scope, show_values=show_values)}))
        return
    rows = counted(found.rows, "row")
    changes = f"{rows} would change: {found.new_rows:,} new, {found.changed_rows:,} changed"
    _tell(found, scope, changes, stderr=as_json, show_values=show_values)


def rebuild_plan(
    found: ReplayPlan, scope: Scope, into: str, *, as_json: bool, dry_run: bool, show_values: bool
) -> None:
    """Print what a rebuild would do, as `plan` does; the new table has no rows to compare with."""
    if as_json and dry_run:
        fields = {"dry_run": True, "into": into, "offsets": scope.offsets}
        click.echo(json.dumps({**fields, **_as_dict(found, scope, show_values=show_values)}))
        return
    changes = f"{into} and {into}_progress would be made, with {counted(found.rows, 'row')}"
    _tell(found, scope, changes, stderr=as_json, show_values=show_values)


def _as_dict(found: ReplayPlan, scope: Scope, *, show_values: bool) -> dict[str, Any]:
    fields = found.as_dict()
    if not show_values:
        for item in fields["examples"]:
            del item["status"]
    return {**fields, "stretches": _as_lists(scope), "remarks": list(scope.remarks)}


def _tell(found: ReplayPlan, scope: Scope, changes: str, *, stderr: bool, show_values: bool) -> None:
    console = plain_console(stderr=stderr, soft_wrap=True)
    print_fitted(console, f"to read: {scope.topic}, {ranges_of(scope)}")
    events, jobs = counted(found.events, "event"), counted(found.jobs, "job")
    console.print(f"{counted(found.records, 'record')}, {events} wanted, of {jobs}")
    if found.undecodable:
        print_fitted(console, f"  no events: {listed(found.undecodable)}")
    console.print(changes)
    if found.skipped_jobs:
        without = counted(found.skipped_jobs, "job has", "jobs have")
        console.print(f"  {without} no row and would be left out (--existing-only)")
    if +found.stale:
        print_fitted(console, f"  events that change nothing: {listed(found.stale)}")
    for item in found.examples:
        status = f"  status {item.status}" if show_values else ""
        before, after = (_brief(position, scope) for position in (item.before, item.after))
        console.print(f"  {item.job_id}: {item.how}, {before} -> {after}{status}")
    if found.rows > len(found.examples):
        console.print(f"  ... and {found.rows - len(found.examples):,} more")


def _brief(position: str, scope: Scope) -> str:
    """A position of one of the logs that are read as P:N; any other one as it is."""
    log_id, _, offset = position.rpartition("@")
    found = [number for number, log in scope.logs.items() if log.id == log_id]
    return f"{found[0]}:{offset}" if found else position


def result(found: ReplayResult, *, as_json: bool, table: str, applied: str) -> None:
    """Print what was done; `applied` is the word for what `found.applied` counts."""
    if as_json:
        click.echo(json.dumps({"table": table, **found.as_dict()}))
        return
    counts = found.counts
    rate = counts.events / found.seconds if found.seconds else 0.0
    parts = [f"{found.applied:,} {applied}", f"{found.merged:,} merged", f"{found.stale.total():,} stale"]
    if found.skipped:
        parts.append(f"{found.skipped:,} of jobs without a row")
    if counts.undecodable:
        parts.append(f"{counts.undecodable.total():,} no events")
    if found.refused:
        parts.append(f"{found.refused.total():,} refused")
    events = counted(counts.events, "event")
    click.echo(f"{events} into {table}: {', '.join(parts)}; {found.seconds:.1f} s, {rate:,.0f} events/s")


def print_events(reader: RangeReader, scope: Scope, stop: Event) -> ReplayResult:
    """Print every wanted record as a JSON line; a record that is no event with the reason."""
    found = ReplayResult(positions={item.partition: item.start for item in scope.ranges})
    jobs = {job.encode() for job in scope.wanted.jobs}
    for chunk in reader.read(scope.ranges, scope.log_ids, stop.is_set):
        for raw in chunk:
            if not jobs or raw.key in jobs:
                _print_one(raw, scope, found)
        found.positions = dict(reader.positions)
        found.counts.records += len(chunk)
    found.complete = reached(scope, reader.positions)
    return found


def _print_one(raw: RawRecord, scope: Scope, found: ReplayResult) -> None:
    event = scope.decoder.decode(raw)
    fields: dict[str, Any] = {"partition": raw.partition, "offset": raw.offset, "timestamp": shown_ms(raw.timestamp)}
    if isinstance(event, Rejected):
        if scope.wanted.statuses or scope.wanted.workers:
            return
        fields |= {"stage": event.stage, "reason": event.reason, "detail": event.detail}
    elif not scope.wanted.has(event):
        return
    else:
        found.counts.events += 1
        found.counts.seen_jobs.update(scope.wanted.jobs & {event.job_id})
        fields |= event.as_dict()
    click.echo(json.dumps(fields))


def ranges_of(scope: Scope) -> str:
    """The ranges of a scope, the first eight of them."""
    parts = [f"{n}:{start}-{end}" for n, start, end in scope.ranges[:8]]
    more = f", ... ({len(scope.ranges)} partitions)" if len(scope.ranges) > 8 else ""
    return f"offsets {', '.join(parts)}{more}"


def _as_lists(scope: Scope) -> list[dict[str, int]]:
    return [item._asdict() for item in scope.ranges]
