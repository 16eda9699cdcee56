"""`jobstatus run --job-id X -- command ...`: report what becomes of a command."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

from jobstatus_consumer.cli.producing import open_producer, producer_errors, producer_settings, with_producer_flags

if TYPE_CHECKING:
    from jobstatus_producer import JobStatusProducer

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
NOT_FOUND, NOT_EXECUTABLE, SIGNALLED = 127, 126, 128
"""Exit codes as a shell gives them."""


@click.command("run", context_settings={"ignore_unknown_options": True})
@click.option("--job-id", required=True, metavar="ID", help="The job that the command does.")
@click.option("--attempt", type=click.IntRange(0), metavar="N", help="Which try of the job this is, from 0.")
@with_producer_flags
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def command(environ: dict[str, str], job_id: str, attempt: int | None, arguments: tuple[str, ...]) -> None:
    """Run a command and report its job: processing, then success, or error with its exit code.

    Signals are passed on. The exit code is the command's own (128 + n where signal n ended it).
    What cannot be reported is said on stderr and never keeps the command from running.
    """
    with producer_errors():
        producer = open_producer(producer_settings(environ))
        try:
            _report(producer, job_id, "processing", None, attempt)
            code, complaint = _run(arguments)
            _report(producer, job_id, "error" if complaint else "success", complaint, attempt)
        except (TypeError, ValueError) as error:
            raise click.UsageError(str(error)) from None
        finally:
            _close(producer)
    sys.exit(code)


def _run(arguments: tuple[str, ...]) -> tuple[int, str | None]:
    """The exit code, and what went wrong."""
    with _deferred_signals() as early:
        try:
            child = subprocess.Popen(arguments)
        except FileNotFoundError:
            return NOT_FOUND, f"{arguments[0]}: not found"
        except OSError as error:
            return NOT_EXECUTABLE, f"{arguments[0]}: {error.strerror}"
        with _passed_on(child):
            for number in early:
                child.send_signal(number)
            code = child.wait()
    if code < 0:
        return SIGNALLED - code, f"ended by {signal.Signals(-code).name}"
    return code, f"exit code {code}" if code else None


@contextmanager
def _deferred_signals() -> Iterator[list[int]]:
    """Signals that come before there is a child are kept for it."""
    early: list[int] = []

    def keep(number: int, _frame: FrameType | None) -> None:
        early.append(number)

    before = {number: signal.signal(number, keep) for number in PASSED_ON}
    try:
        yield early
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _passed_on(child: subprocess.Popen[bytes]) -> Iterator[None]:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        # a terminal gives its interrupt to the child itself
        if not (number in (signal.SIGINT, signal.SIGQUIT) and sys.stdin.isatty()):
            child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(producer: JobStatusProducer, job_id: str, status: str, message: str | None, attempt: int | None) -> None:
    from jobstatus_producer import BufferFullError

    try:
        producer.update_job_status(job_id, status, message, attempt=attempt)
    except BufferFullError as error:
        click.echo(f"jobstatus: {error}", err=True)


def _close(producer: JobStatusProducer) -> None:
    from jobstatus_producer import EventsError

    try:
        producer.close()
    except EventsError as error:
        click.echo(f"jobstatus: {error}", err=True)
