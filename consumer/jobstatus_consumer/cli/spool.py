"""`jobstatus spool list|drain`: what waits in a spool folder, and sending it without a worker."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from jobstatus_schemas import CODEC

from jobstatus_consumer.cli.producing import open_producer, producer_errors, producer_settings, with_producer_flags
from jobstatus_consumer.errors import JobStatusError, SettingsError
from jobstatus_consumer.words import counted, rfc3339_of

if TYPE_CHECKING:
    from jobstatus_producer.spool import SpoolInfo


@click.group("spool")
def command() -> None:
    """What workers could not deliver, and how to deliver it now."""


@command.command("list")
@click.option("--spool-dir", metavar="VALUE", help="The folder. [env: JOBSTATUS_SPOOL_DIR]")
@click.option("--refused", is_flag=True, help="The events that the broker refused, as JSON lines.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, for programs.")
def list_spools(spool_dir: str | None, refused: bool, as_json: bool) -> None:
    """Show each spool: whether a process uses it, how much waits in it and since when."""
    from jobstatus_producer import spool

    folder = _folder(dict(os.environ), spool_dir)
    found = spool.inspect(folder)
    damaged = spool.damaged(folder)
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
        events = counted(sum(info.events for info in found), "event")
        click.echo(f"{counted(len(found), 'spool')}, {events} waiting")


@command.command("drain")
@click.option(
    "--timeout", type=click.FloatRange(0), default=60.0, show_default=True, metavar="SECONDS", help="How long to try."
)
@with_producer_flags
def drain(environ: dict[str, str], timeout: float) -> None:
    """Send what dead workers left behind. Spools in use are their workers' own to drain.

    Exit code 0: all of this topic's is delivered; 1: not all.
    """
    folder = _folder(environ, None)
    with producer_errors():
        settings = producer_settings(environ)
        producer = open_producer(settings)
        try:
            before = producer.stats().spool_depth
            left = producer.flush(timeout)
            refused, why = producer.stats().refused, producer.stats().last_error
        finally:
            # what is left has been tried for as long as was asked, and stays in its spool
            producer.close(0)
        click.echo(f"{counted(before - left - refused, 'event')} delivered, {refused} refused, {left} left")
        alone = _say_what_was_left_alone(folder, settings.topic)
    failures = []
    if left or refused:
        are_left = counted(left, "event is", "events are")
        failures.append(
            f"{are_left} left, {refused} were refused (jobstatus spool list --refused)" + (f": {why}" if why else "")
        )
    if alone:
        failures.append(f"{counted(alone, 'spool')} of this topic left alone")
    if failures:
        raise JobStatusError("; ".join(failures))


def _say_what_was_left_alone(folder: Path, topic: str) -> int:
    """Name each spool without a process that nobody has read; returns how many of them are this topic's."""
    from jobstatus_producer import spool

    ours = f"{spool.topic_label(topic)}."
    unused = [info for info in spool.inspect(folder) if not info.in_use]
    # what could be taken over of this topic has been drained, or was counted above
    unread = [
        info
        for info in unused
        if info.path.name.startswith(ours) and (info.trouble or (info.is_foreign and info.events))
    ]
    others = [info for info in unused if not info.path.name.startswith(ours) and (info.trouble or info.events)]
    for whose, left_alone in (("this topic", unread), ("another topic", others)):
        for info in left_alone:
            click.echo(f"left alone, of {whose}: {_line(info)}")
    return len(unread)


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
    return f"{info.path.name}  {owner}  {counted(info.events, 'event')}, {info.bytes} bytes{age}{refused}"


def _as_dict(info: SpoolInfo) -> dict[str, Any]:
    return {
        "path": str(info.path),
        "in_use": info.in_use,
        "events": info.events,
        "bytes": info.bytes,
        "oldest_occurred_at": None if info.oldest is None else rfc3339_of(info.oldest),
        "refused": len(info.refused),
        "trouble": info.trouble,
    }


def _show_refused(found: list[SpoolInfo]) -> None:
    for info in found:
        for record, reason, refused_at in info.refused:
            event = record.event(CODEC)
            times = {"refused_at": rfc3339_of(refused_at), "occurred_at": rfc3339_of(event.occurred_at)}
            click.echo(json.dumps({"reason": reason, **event._asdict(), **times}))
