"""`jobstatus emit`: report one status from a shell, or many from standard input."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click
from jobstatus_schemas.event import MAX_ATTEMPT, MAX_JOB_ID_BYTES

from jobstatus_consumer.cli.producing import (
    open_producer,
    producer_errors,
    producer_settings,
    with_producer_flags,
)
from jobstatus_consumer.errors import JobStatusError, SettingsError

if TYPE_CHECKING:
    from jobstatus_producer import JobStatusProducer

FIELDS = ("job_id", "status", "error_message", "attempt", "worker_id")
MAX_COMPLAINTS = 20
MAX_CSV_FIELD = 2**24
"""In characters. A longer error message would be cut to 16 KiB anyway."""
MAX_DIGITS = 1000
"""Digits of an attempt, leading zeros included. Python refuses to convert more than some thousands."""
ROOM_SECONDS = 1.0
"""While the buffer is full, progress is checked once in this many seconds."""

Line = tuple[int, dict[str, Any] | str]
"""A line number, and either the update on that line or what is wrong with it."""


@click.command("emit")
@click.option("--job-id", metavar="ID", help="The job; without it, events are read from standard input.")
@click.option("--status", metavar="WORD", help="The job's new status.")
@click.option("--error-message", metavar="TEXT", help="Why the job failed. Cut at 16 KiB.")
@click.option("--attempt", type=click.IntRange(0), metavar="N", help="The number of this try of the job, from 0.")
@click.option(
    "--format",
    "input_format",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help=f"Format of standard input. CSV begins with a line of names. Names: {', '.join(FIELDS)}.",
)
@click.option(
    "--wait",
    is_flag=True,
    help="Wait for the broker's acknowledgement; being in the spool is not enough.",
)
@click.option(
    "--timeout", type=click.FloatRange(0), default=30.0, show_default=True, metavar="SECONDS", help="How long to try."
)
@with_producer_flags
def command(
    environ: dict[str, str],
    job_id: str | None,
    status: str | None,
    error_message: str | None,
    attempt: int | None,
    input_format: str,
    wait: bool,
    timeout: float,
) -> None:
    """Report one status given by flags, or many read from standard input.

    Exit code 0: every event is delivered, or safe in the spool if there is one; 1: some are not; 2: wrong usage.

    \b
    jobstatus emit --job-id job-17 --status success
    jobstatus emit < events.jsonl          {"job_id": "job-17", "status": "success"}
    """
    if (job_id is None) != (status is None):
        raise click.UsageError("--job-id and --status go together")
    if job_id is None and (error_message is not None or attempt is not None):
        raise click.UsageError("--error-message and --attempt need --job-id; from standard input they are fields")
    refused = 0
    with producer_errors():
        settings = producer_settings(environ)
        if job_id is None:
            # `_send` decides how long a line waits for room, so a single call may block only shortly
            producer = open_producer(replace(settings, max_block_seconds=min(ROOM_SECONDS, timeout)))
            refused = _emit_all(producer, _updates(_standard_input(input_format), input_format), timeout)
        else:
            producer = open_producer(settings)
            _emit_one(producer, job_id, str(status), error_message, attempt)
        _finish(producer, wait, timeout)
    if refused:
        raise JobStatusError(f"{refused} of the input's events were not sent: see above")


def _emit_one(producer: JobStatusProducer, job_id: str, status: str, message: str | None, attempt: int | None) -> None:
    try:
        producer.update_job_status(job_id, status, message, attempt=attempt)
    except (TypeError, ValueError) as error:
        producer.close()
        raise click.UsageError(str(error)) from None


def _emit_all(producer: JobStatusProducer, updates: Iterator[Line], patience: float) -> int:
    """Send the valid lines and report the others; return the number of lines that were not sent."""
    from jobstatus_producer import BufferFullError

    refused = 0
    with _progress() as advance:
        for line, update in updates:
            try:
                complaint = update if isinstance(update, str) else _send(producer, update, patience)
            except BufferFullError as error:
                _give_up(producer, line, patience, error)
            advance()
            if complaint is not None:
                refused += 1
                if refused <= MAX_COMPLAINTS:
                    click.echo(f"line {line}: {complaint}", err=True)
    if refused > MAX_COMPLAINTS:
        click.echo(f"... and {refused - MAX_COMPLAINTS} more", err=True)
    return refused


def _send(producer: JobStatusProducer, update: dict[str, Any], patience: float) -> str | None:
    """Send one update; return what is wrong with it, or None.

    Blocks while the buffer is full. Raises `BufferFullError` after `patience` seconds without progress.
    """
    from jobstatus_producer import BufferFullError

    settled, deadline = -1, 0.0
    while True:
        try:
            producer.update_many([update])
        except BufferFullError:
            # standard input can wait, so a full buffer slows it down instead of losing its line
            stats = producer.stats()
            if stats.delivered + stats.refused != settled:
                settled, deadline = stats.delivered + stats.refused, time.monotonic() + patience
            elif time.monotonic() >= deadline:
                raise
        except (TypeError, ValueError) as error:
            return str(error).removeprefix("updates[0]: ")
        else:
            return None


def _give_up(producer: JobStatusProducer, line: int, patience: float, why: Exception) -> NoReturn:
    """Close the producer without waiting. Without a spool, `close` raises with the lines before this one."""
    waiting = producer.stats().queue_depth + producer.stats().spool_depth
    text = f"line {line} and all that follow were not sent: for {patience:g} s nothing was delivered"
    click.echo(f"{text}, and {waiting} events before it are not acknowledged", err=True)
    producer.close(0)
    raise JobStatusError(str(why))


def _standard_input(input_format: str) -> IO[str]:
    """Standard input as text. A byte order mark is skipped; bytes that are not UTF-8 spoil only their own line."""
    # in CSV a line break inside a quoted field belongs to the field
    newline = "" if input_format == "csv" else None
    if sys.stdin is None:
        raise SettingsError("standard input is closed; give events there, or one with --job-id and --status")
    return open(sys.stdin.fileno(), encoding="utf-8-sig", errors="surrogateescape", newline=newline, closefd=False)


def _updates(source: IO[str], input_format: str) -> Iterator[Line]:
    if input_format == "csv":
        yield from _csv_updates(source)
        return
    for number, line in enumerate(source, 1):
        if line.strip():
            yield number, _json_update(line)


def _json_update(line: str) -> dict[str, Any] | str:
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        return f"not JSON ({error})"
    except RecursionError:
        return "nested too deeply; wanted a JSON object of plain fields"
    except ValueError:
        # Python refuses to convert a number of thousands of digits
        return f"a number is too long; an attempt is 0 to {MAX_ATTEMPT}, a job_id up to {MAX_JOB_ID_BYTES} bytes"
    return found if isinstance(found, dict) else "wanted a JSON object"


def _csv_updates(source: IO[str]) -> Iterator[Line]:
    csv.field_size_limit(MAX_CSV_FIELD)
    rows = csv.DictReader(source, strict=True)
    try:
        header = list(rows.fieldnames or ())
    except csv.Error as error:
        raise click.UsageError(f"the first line of the CSV cannot be read: {error}") from None
    if twice := [name for name in FIELDS if header.count(name) > 1]:
        raise click.UsageError(f"the first line of the CSV names {', '.join(twice)} more than once")
    if not {"job_id", "status"} <= set(header) <= set(FIELDS):
        raise click.UsageError(f"the first line of the CSV must name job_id, status, and none but {', '.join(FIELDS)}")
    while True:
        before = rows.reader.line_num
        try:
            row = next(rows, None)
        except csv.Error as error:
            # an unclosed quote makes the parser read to the end of the input
            yield rows.reader.line_num, f"not CSV after line {before} ({error})"
            continue
        if row is None:
            return
        yield rows.line_num, _csv_update(row)


def _csv_update(row: dict[str | Any, str | Any]) -> dict[str, Any] | str:
    if None in row or None in row.values():
        return "not as many fields as the first line names"
    update: dict[str, Any] = {name: text for name, text in row.items() if text or name in ("job_id", "status")}
    attempt = update.get("attempt", "")
    if len(attempt) > MAX_DIGITS:
        return f"attempt: {len(attempt)} characters; wanted 0 to {MAX_ATTEMPT}"
    if attempt and not attempt.isdecimal():
        return f"attempt: wanted 0 to {MAX_ATTEMPT}, in digits alone, or nothing"
    if attempt:
        update["attempt"] = int(attempt)
    return update


@contextmanager
def _progress() -> Iterator[Callable[[], None]]:
    """A counter on a terminal's stderr; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} events"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)
        yield lambda: bar.advance(task)


def _finish(producer: JobStatusProducer, wait: bool, timeout: float) -> None:
    if wait:
        left = producer.flush(timeout)
        producer.close(0.0 if left else None)
    else:
        # with a spool, close returns as soon as the broker is known to be unavailable and the events are spooled
        producer.close(timeout)
        left = producer.stats().spool_depth
    refused = producer.stats().refused
    failures = []
    if refused:
        failures.append(f"{refused} events were refused by the broker; they are kept: jobstatus spool list --refused")
    if left and wait:
        failures.append(f"{left} events are not acknowledged after {timeout:g} s; they are in the spool")
    elif left:
        click.echo(f"jobstatus: {left} events are in the spool: the broker has not acknowledged them yet", err=True)
    if failures:
        raise JobStatusError("; ".join(failures))
