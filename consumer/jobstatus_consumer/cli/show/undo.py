"""What `jobstatus replay --undo` prints: its plan and its result."""

from __future__ import annotations

import json
from typing import Any

import click

from jobstatus_consumer.cli.show.replay import ranges_of
from jobstatus_consumer.cli.show.screen import plain_console, print_fitted
from jobstatus_consumer.operations import Scope, UndoResult
from jobstatus_consumer.words import counted


def plan(found: UndoResult, bad: Scope, *, as_json: bool, dry_run: bool, values: bool) -> None:
    """Print what would be set back. In JSON only for a dry run: else stdout is for the result."""
    if as_json and dry_run:
        click.echo(json.dumps({"dry_run": True, **_fields(found, values=values)}))
        return
    console = plain_console(stderr=as_json, soft_wrap=True)
    print_fitted(console, f"bad: {bad.topic}, {ranges_of(bad)}")
    console.print(f"{counted(found.counts.events, 'bad event')} of {counted(found.jobs, 'job')}")
    console.print(f"{counted(found.rows, 'row still shows', 'rows still show')} one of them and would be set back")
    for item in found.examples:
        status = f"  status {item.status}" if values else ""
        console.print(f"  {item.job_id}: {item.was} -> {item.becomes}{status}")
    if found.rows > len(found.examples):
        console.print(f"  ... and {found.rows - len(found.examples):,} more")
    if found.no_other_event:
        stay = counted(found.no_other_event, "row stays", "rows stay")
        console.print(f"{stay} as before: the log has no other event of their jobs:")
        print_fitted(console, f"  {', '.join(found.no_other_event_of)}")
        console.print("  report what is right: jobstatus emit")


def result(found: UndoResult, *, table: str, as_json: bool, values: bool) -> None:
    """Print what was done."""
    if as_json:
        click.echo(json.dumps({"dry_run": False, "table": table, **_fields(found, values=values)}))
        return
    parts = [f"{counted(found.set_rows, 'row')} set back"]
    if found.moved_on:
        parts.append(f"{found.moved_on:,} had moved on meanwhile")
    if found.no_other_event:
        parts.append(f"{found.no_other_event:,} left as they are, without another event")
    if found.refused:
        parts.append(f"{len(found.refused):,} refused")
    bad = counted(found.counts.events, "bad event")
    click.echo(f"{bad} of {counted(found.jobs, 'job')} in {table}: {', '.join(parts)}; {found.seconds:.1f} s")


def _fields(found: UndoResult, *, values: bool) -> dict[str, Any]:
    fields = found.as_dict()
    if not values:
        for item in fields["examples"]:
            del item["status"]
    return fields
