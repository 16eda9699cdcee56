"""`jobstatus spool list|drain`: what waits in a spool folder, and sending it without a worker."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobstatus_consumer.cli.producing import open_producer, producer_errors, producer_settings, with_producer_flags
from jobstatus_consumer.errors import JobStatusError, SettingsError

if TYPE_CHECKING:
    from jobstatus_producer.spool_folder import SpoolInfo


@click.group("spool")
def command() -> None:
    """What workers could not deliver, and how to deliver it now."""


@command.command("list")
@click.option("--spool-dir", metavar="VALUE", help="The folder. [env: JOBSTATUS_SPOOL_DIR]")
@click.option("--refused", is_flag=True, help="The events that the broker refused, as JSON lines.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, for programs.")
def list_spools(spool_dir: str | None, refused: bool, as_json: bool) -> None:
    """Show each spool: whether a process uses it, how much waits in it and since when."""
    from jobstatus_producer import spool_folder

    folder = _folder(dict(os.environ), spool_dir)
    found = spool_folder.inspect(folder)
    damaged = spool_folder.damaged(folder)
    if refused:
        _show_refused(found)
    elif as_json:
        click.echo(
            json.dumps({"spools": [_as_dict(info) for info in found], "damaged": [str(path) for path in damaged]})
        )
    else:
        for info in found:
            click.echo(_line(info))
        for path in damaged:
            click.echo(f"{path.name}  damaged, set aside for a person to look at")
        click.echo(f"{len(found)} spools, {sum(info.events for info in found)} events waiting")


@command.command("drain")
@click.option("--timeout", type=click.FloatRange(0), default=60.0, show_default=True, metavar="SECONDS",
              help="How long to try.")  # fmt: skip
@with_producer_flags
def drain(environ: dict[str, str], timeout: float) -> None:
    """Send what dead workers left behind. Spools in use are their workers' own to drain.

    Exit code 0: all of it is delivered; 1: not all.
    """
    _folder(environ, None)
    with producer_errors():
        producer = open_producer(producer_settings(environ))
        try:
            before = producer.stats().spool_depth
            left = producer.flush(timeout)
            refused = producer.stats().refused
        finally:
            # what is left has been tried for as long as was asked, and stays in its spool
            producer.close(0)
        click.echo(f"{before - left - refused} events delivered, {refused} refused, {left} left")
    if left or refused:
        raise JobStatusError(f"{left} events are left, {refused} were refused (jobstatus spool list --refused)")


def _folder(environ: dict[str, str], flag: str | None) -> Path:
    folder = flag or environ.get("JOBSTATUS_SPOOL_DIR")
    if not folder:
        raise click.UsageError("which folder? --spool-dir or JOBSTATUS_SPOOL_DIR")
    if not Path(folder).is_dir():
        raise SettingsError(f"JOBSTATUS_SPOOL_DIR: {folder} is no folder")
    return Path(folder)


def _line(info: SpoolInfo) -> str:
    owner = "in use" if info.in_use else "no process"
    if info.trouble:
        return f"{info.path.name}  {owner}  cannot be read: {info.trouble}"
    age = "" if info.oldest is None else f", the oldest {time.time() - info.oldest / 1e6:.0f} s old"
    refused = f", {len(info.refused)} refused" if info.refused else ""
    return f"{info.path.name}  {owner}  {info.events} events, {info.bytes} bytes{age}{refused}"


def _as_dict(info: SpoolInfo) -> dict[str, Any]:
    return {
        "path": str(info.path),
        "in_use": info.in_use,
        "events": info.events,
        "bytes": info.bytes,
        "oldest_occurred_at": info.oldest,
        "refused": len(info.refused),
        "trouble": info.trouble,
    }


def _show_refused(found: list[SpoolInfo]) -> None:
    for info in found:
        for entry, reason, refused_at in info.refused:
            click.echo(json.dumps({"reason": reason, "refused_at": refused_at, **entry.event._asdict()}))
