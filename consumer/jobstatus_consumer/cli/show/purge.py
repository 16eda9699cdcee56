"""What `jobstatus purge` prints."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click

from jobstatus_consumer.cli.show.screen import narrow, plain_console, print_fitted
from jobstatus_consumer.operations import PurgeResult, shown
from jobstatus_consumer.store import Finished
from jobstatus_consumer.words import counted, rfc3339_of


def plan(table: str, finished: Finished | None, found: PurgeResult, *, as_json: bool, dry_run: bool) -> None:
    """Print what would be purged. With `as_json` stdout is for one document: the plan's own only in a dry run."""
    if as_json and dry_run:
        click.echo(json.dumps({"dry_run": True, **_plan(table, finished, found)}))
        return
    if finished is None:
        return
    console = plain_console(stderr=as_json)
    listing = narrow("status", title=f"{table}: no event since {rfc3339_of(finished.limit)[:19]}Z")
    listing.add_column("rows to purge", justify="right")
    listing.add_column("the oldest job's last event")
    for item in found.found:
        listing.add_row(item.status, f"{item.rows:,}", _time(item.oldest) or "-")
    if found.found:
        console.print(listing)
    else:
        print_fitted(console, f"no row of {table} is finished and as old as that: nothing to purge")
    if found.others:
        others = counted(found.others, "row is", "rows are")
        print_fitted(console, f"{others} another program's (no position) and would stay; delete such rows yourself")


def result(table: str, finished: Finished | None, done: PurgeResult, *, as_json: bool, forgets: bool) -> None:
    """Print what was purged and forgotten."""
    if as_json:
        fields = {"purged": done.purged, "forgotten": done.forgotten, "seconds": round(done.seconds, 3)}
        click.echo(json.dumps({"dry_run": False, **_plan(table, finished, done), **fields, "complete": done.complete}))
        return
    if finished is not None:
        rate = f", {done.purged / done.seconds:,.0f} a second" if done.seconds else ""
        left = done.rows - done.purged if done.complete else 0
        locked = f"; {counted(left, 'row')} had news or a lock of another session, and stay" if left > 0 else ""
        click.echo(f"{counted(done.purged, 'row')} of {table} purged in {done.seconds:.1f} s{rate}{locked}")
    if forgets:
        click.echo(f"{counted(done.forgotten, 'purged job')} forgotten")


def audited(table: str, finished: Finished | None, found: PurgeResult, forget_after: int | None) -> dict[str, Any]:
    """The plan for the audit log."""
    return {**_plan(table, finished, found), "forget_after_seconds": forget_after}


def _plan(table: str, finished: Finished | None, found: PurgeResult) -> dict[str, Any]:
    return {
        "table": table,
        "no_event_since": None if finished is None else rfc3339_of(finished.limit),
        "rows": {item.status: item.rows for item in found.found},
        "oldest": {item.status: _time(item.oldest) for item in found.found},
        "rows_of_another_program": found.others,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else shown(datetime.fromtimestamp(seconds, UTC))
