"""`jobstatus run --job-id X -- command ...`: run a command and report its status as a job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

import click
from jobstatus_schemas.event import check_attempt, check_job_id

from jobstatus_consumer.cli.producing import open_producer, producer_errors, producer_settings, with_producer_flags
from jobstatus_consumer.signals import handled_by

if TYPE_CHECKING:
    from jobstatus_producer import JobStatusProducer, ProducerSettings

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
UNREACHED_SECONDS = 2.0
"""How long the end waits for a broker that was never reached."""
NOT_FOUND, NOT_EXECUTABLE, SIGNALLED = 127, 126, 128
"""The exit codes that a shell uses for these cases."""


@click.command("run", context_settings={"ignore_unknown_options": True})
@click.option("--job-id", required=True, metavar="ID", help="The job that the command works on.")
@click.option("--attempt", type=click.IntRange(0), metavar="N", help="The number of this try of the job, from 0.")
@click.option(
    "--begun", default="processing", show_default=True, metavar="WORD", help="Status when the command starts."
)
@click.option("--done", default="success", show_default=True, metavar="WORD", help="Status for exit code 0.")
@click.option("--failed", default="error", show_default=True, metavar="WORD", help="Status for any other exit code.")
@with_producer_flags
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def command(
    environ: dict[str, str],
    job_id: str,
    attempt: int | None,
    begun: str,
    done: str,
    failed: str,
    arguments: tuple[str, ...],
) -> None:
    """Run a command and report its job: processing, then success, or error with its exit code.

    Signals are passed on to the command; one that comes after its end shortens the wait for the broker.
    The exit code is the command's own, or 128 + n if signal n ended it.
    Wrong flags or settings give exit code 2, and the command is not started.
    A status that cannot be reported is printed to stderr; it never keeps the command from running.
    """
    with producer_errors():
        settings = producer_settings(environ)
        _check(job_id, attempt, (begun, done, failed), settings.statuses)
        producer = _open(settings)
    report = partial(_report, producer, job_id, attempt)
    report(begun, None)
    pending: list[int] = []
    with handled_by(lambda number, _: pending.append(number), _heard(PASSED_ON)):
        code, complaint = _run(arguments, pending)
        report(failed if complaint else done, complaint)
        is_closed = _close(producer, pending, is_patient="JOBSTATUS_CLOSE_SECONDS" in environ)
    if not is_closed:
        # close again without waiting: events are spooled, or named in the error
        _end(producer, 0.0)
    sys.exit(code)


def _check(job_id: str, attempt: int | None, words: tuple[str, str, str], allowed: frozenset[str] | None) -> None:
    """Refuse now what a report would be refused for after the command has run."""
    from jobstatus_producer.tracking import Statuses, check_statuses

    try:
        check_job_id(job_id)
        check_attempt(attempt)
        check_statuses(Statuses(*words), allowed)
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from None


def _open(settings: ProducerSettings) -> JobStatusProducer:
    """A producer; without a spool if the spool folder cannot be used."""
    from jobstatus_producer import SpoolError

    try:
        return open_producer(settings)
    except (SpoolError, OSError) as error:
        click.echo(f"jobstatus: {error}; going on without a spool", err=True)
        return open_producer(replace(settings, spool_dir=None, durable=False))


def _run(arguments: tuple[str, ...], pending: list[int]) -> tuple[int, str | None]:
    """Run the command; return its exit code and, if it failed, how.

    It gets the signals that are `pending`. Those that come after its end are left there.
    """
    # if SIGCHLD is ignored, as under some supervisors, the kernel discards the exit code
    with handled_by(lambda *_: None, (signal.SIGCHLD,)):
        try:
            child = subprocess.Popen(arguments)
        except FileNotFoundError:
            return _not_run(NOT_FOUND, f"{arguments[0]}: not found")
        except OSError as error:
            return _not_run(NOT_EXECUTABLE, f"{arguments[0]}: {error.strerror}")
        with handled_by(partial(_pass_on, child), _heard(PASSED_ON)):
            while pending:
                child.send_signal(pending.pop(0))
            code = _wait(child)
    if code < 0:
        return SIGNALLED - code, f"ended by {_name(-code)}"
    return code, f"exit code {code}" if code else None


def _not_run(code: int, complaint: str) -> tuple[int, str]:
    click.echo(f"jobstatus: {complaint}", err=True)
    return code, complaint


def _heard(numbers: tuple[signal.Signals, ...]) -> list[signal.Signals]:
    """The signals that are not ignored: what `nohup` or a background shell ignores, the command must ignore too."""
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Wait for the child and return its exit code. SIGCHLD must have a handler.

    Each signal writes a byte to a pipe, which ends the wait. Waiting for the child directly would miss a signal that
    arrives just before the wait begins.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        while (code := child.poll()) is None:
            os.read(reading, 4096)
    finally:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)
    return code


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        # only the first and the last real-time signal have names
        return f"signal {number}"


def _pass_on(child: subprocess.Popen[bytes], number: int, _frame: FrameType | None) -> None:
    if number not in FROM_TERMINAL or not _hears_terminal(child):
        child.send_signal(number)


def _hears_terminal(child: subprocess.Popen[bytes]) -> bool:
    """Whether the terminal itself signals the child: it does if the child is in its foreground process group."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        # there is no terminal
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgid(child.pid)
    except OSError:
        return False
    finally:
        os.close(terminal)


def _report(producer: JobStatusProducer, job_id: str, attempt: int | None, status: str, message: str | None) -> None:
    try:
        producer.update_job_status(job_id, status, message, attempt=attempt)
    except Exception as error:  # noqa: BLE001 - the command and its exit code matter more than any report
        click.echo(f"jobstatus: {error}", err=True)


def _close(producer: JobStatusProducer, pending: list[int], *, is_patient: bool) -> bool:
    """Deliver the reports and print those that failed; return False if a signal ended the wait, also a pending one.

    Its caller waits for the exit code. So without `is_patient` a broker that was never reached has 2 s.
    """
    try:
        with handled_by(signal.default_int_handler, _heard(ENDING)):
            if not set(ENDING).isdisjoint(pending):
                return False
            _end(producer, None if is_patient or _is_reached(producer) else 0.0)
    except KeyboardInterrupt:
        return False
    return True


def _is_reached(producer: JobStatusProducer) -> bool:
    """Whether a broker has answered, or may still: False after 2 s in which every attempt to connect failed."""
    from jobstatus_producer import ProducerError

    try:
        producer.flush(UNREACHED_SECONDS)
    except ProducerError as error:
        # the broker refused an event; `close` does not raise it again
        click.echo(f"jobstatus: {error}", err=True)
        return True
    stats = producer.stats()
    return stats.delivered > 0 or stats.last_error is None


def _end(producer: JobStatusProducer, seconds: float | None) -> None:
    try:
        producer.close(seconds)
    except SystemError:
        # the Kafka client raises this if a signal handler raised inside one of its callbacks
        raise KeyboardInterrupt from None
    except Exception as error:  # noqa: BLE001 - as above
        click.echo(f"jobstatus: {error}", err=True)
