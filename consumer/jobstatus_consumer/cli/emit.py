"""`jobstatus emit`: a status from a shell, or many from its standard input."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import click

from jobstatus_consumer.cli.producing import (
    after_close,
    open_producer,
    producer_errors,
    producer_settings,
    with_producer_flags,
)
from jobstatus_consumer.errors import JobStatusError

if TYPE_CHECKING:
    from jobstatus_producer import JobStatusProducer

FIELDS = ("job_id", "status", "error_message", "attempt", "worker_id")
MAX_COMPLAINTS = 20


@click.command("emit")
@click.option("--job-id", metavar="ID", help="The job; without it, events are read from standard input.")
@click.option("--status", metavar="WORD", help="What it is now.")
@click.option("--error-message", metavar="TEXT", help="Why; cut at 16 KiB.")
@click.option("--attempt", type=click.IntRange(0), metavar="N", help="Which try of the job this is, from 0.")
@click.option("--format", "input_format", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True,
              help=f"Of standard input; CSV begins with a line of names. Names: {', '.join(FIELDS)}.")  # fmt: skip
@click.option("--wait", is_flag=True, help="Only the broker's acknowledgement counts as delivered, the spool does not.")
@click.option("--timeout", type=click.FloatRange(0), default=30.0, show_default=True, metavar="SECONDS",
              help="How long to try.")  # fmt: skip
@with_producer_flags
def command(environ: dict[str, str], job_id: str | None, status: str | None, error_message: str | None,
            attempt: int | None, input_format: str, wait: bool, timeout: float) -> None:  # fmt: skip
    """Report one status by flags, or many from standard input.

    Exit code 0: all delivered, or safe in the spool where there is one; 1: not all; 2: wrong usage.

    \b
    jobstatus emit --job-id job-17 --status success
    jobstatus emit < events.jsonl          {"job_id": "job-17", "status": "success"}
    """
    if (job_id is None) != (status is None):
        raise click.UsageError("--job-id and --status go together")
    if job_id is None and (error_message is not None or attempt is not None):
        raise click.UsageError("--error-message and --attempt need --job-id; from standard input they are fields")
    with producer_errors():
        producer = open_producer(producer_settings(environ))
        if job_id is None:
            refused = _emit_all(producer, _updates(sys.stdin, input_format))
        else:
            refused = _emit_one(producer, job_id, str(status), error_message, attempt)
        _finish(producer, wait, timeout)
    if refused:
        raise JobStatusError(f"{refused} of the input's events were not sent: see above")


def _emit_one(producer: JobStatusProducer, job_id: str, status: str, message: str | None, attempt: int | None) -> int:
    try:
        producer.update_job_status(job_id, status, message, attempt=attempt)
    except (TypeError, ValueError) as error:
        producer.close()
        raise click.UsageError(str(error)) from None
    return 0


def _emit_all(producer: JobStatusProducer, updates: Iterator[tuple[int, dict[str, Any] | str]]) -> int:
    """Send what is well formed; say what is not, and go on. Returns how many were not sent."""
    refused = 0
    with _progress() as advance:
        for line, update in updates:
            complaint = update if isinstance(update, str) else _send(producer, update)
            advance()
            if complaint is not None:
                refused += 1
                if refused <= MAX_COMPLAINTS:
                    click.echo(f"line {line}: {complaint}", err=True)
    if refused > MAX_COMPLAINTS:
        click.echo(f"... and {refused - MAX_COMPLAINTS} more", err=True)
    return refused


def _send(producer: JobStatusProducer, update: dict[str, Any]) -> str | None:
    from jobstatus_producer import BufferFullError

    while True:
        try:
            producer.update_many([update])
        except BufferFullError:
            # standard input can wait, so a full buffer slows it down instead of losing its line
            producer.flush(1.0)
        except (TypeError, ValueError) as error:
            return str(error).removeprefix("updates[0]: ")
        else:
            return None


def _updates(source: IO[str], input_format: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Line number with an update, or with a complaint about the line."""
    if input_format == "csv":
        yield from _csv_updates(source)
        return
    for number, line in enumerate(source, 1):
        if line.strip():
            try:
                found = json.loads(line)
            except ValueError as error:
                yield number, f"not JSON ({error})"
                continue
            yield number, found if isinstance(found, dict) else "wanted a JSON object"


def _csv_updates(source: IO[str]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    rows = csv.DictReader(source, strict=True)
    unknown = set(rows.fieldnames or ()) - set(FIELDS)
    if unknown or not {"job_id", "status"} <= set(rows.fieldnames or ()):
        raise click.UsageError(f"the first line of the CSV must name job_id, status, and none but {', '.join(FIELDS)}")
    for row in rows:
        if None in row or None in row.values():
            yield rows.line_num, "not as many fields as the first line names"
            continue
        update: dict[str, Any] = {name: text for name, text in row.items() if text or name in ("job_id", "status")}
        if update.get("attempt", "").isdecimal():
            update["attempt"] = int(update["attempt"])
        yield rows.line_num, update


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
        _, refused = after_close(producer)
    else:
        # this waits no longer than until the broker is known to be away and the spool has the events
        producer.close(timeout)
        left, refused = after_close(producer)
    failures = []
    if refused:
        failures.append(f"{refused} events were refused by the broker; they are kept: jobstatus spool list --refused")
    if left and wait:
        failures.append(f"{left} events are not acknowledged after {timeout:g} s; they are in the spool")
    elif left:
        click.echo(f"jobstatus: {left} events are in the spool: the broker has not acknowledged them yet", err=True)
    if failures:
        raise JobStatusError("; ".join(failures))
