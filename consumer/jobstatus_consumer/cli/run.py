"""`jobstatus run --job-id X -- command ...`: report what becomes of a command."""

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
NOT_FOUND, NOT_EXECUTABLE, SIGNALLED = 127, 126, 128
"""Exit codes as a shell gives them."""


@click.command("run", context_settings={"ignore_unknown_options": True})
@click.option("--job-id", required=True, metavar="ID", help="The job that the command does.")
@click.option("--attempt", type=click.IntRange(0), metavar="N", help="Which try of the job this is, from 0.")
@click.option("--begun", default="processing", show_default=True, metavar="WORD", help="Status as the command starts.")
@click.option("--done", default="success", show_default=True, metavar="WORD", help="Status where its exit code is 0.")
@click.option("--failed", default="error", show_default=True, metavar="WORD", help="Status where it is another.")
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

    Signals are passed on. The exit code is the command's own (128 + n where signal n ended it).
    Wrong flags and settings are exit code 2, before the command starts.
    What cannot be reported is said on stderr and never keeps the command from running.
    """
    with producer_errors():
        settings = producer_settings(environ)
        _check(job_id, attempt, (begun, done, failed), settings.statuses)
        producer = _open(settings)
    report = partial(_report, producer, job_id, attempt)
    report(begun, None)
    code, complaint = _run(arguments)
    report(failed if complaint else done, complaint)
    _close(producer)
    sys.exit(code)


def _check(job_id: str, attempt: int | None, words: tuple[str, str, str], allowed: frozenset[str] | None) -> None:
    """Whatever a report would be refused for is said now: later the command has run."""
    from jobstatus_producer.tracking import Statuses, check_statuses

    try:
        check_job_id(job_id)
        check_attempt(attempt)
        check_statuses(Statuses(*words), allowed)
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from None


def _open(settings: ProducerSettings) -> JobStatusProducer:
    """A producer, without a spool where its folder cannot be used."""
    from jobstatus_producer import SpoolError

    try:
        return open_producer(settings)
    except (SpoolError, OSError) as error:
        click.echo(f"jobstatus: {error}; going on without a spool", err=True)
        return open_producer(replace(settings, spool_dir=None, durable=False))


def _run(arguments: tuple[str, ...]) -> tuple[int, str | None]:
    """The exit code, and what went wrong."""
    early: list[int] = []
    numbers = _heard(PASSED_ON)
    # a SIGCHLD that is ignored, as some supervisors leave it, would lose the exit code
    with handled_by(lambda *_: None, (signal.SIGCHLD,)), handled_by(lambda number, _: early.append(number), numbers):
        try:
            child = subprocess.Popen(arguments)
        except FileNotFoundError:
            return _not_run(NOT_FOUND, f"{arguments[0]}: not found")
        except OSError as error:
            return _not_run(NOT_EXECUTABLE, f"{arguments[0]}: {error.strerror}")
        with handled_by(partial(_pass_on, child), numbers):
            for number in early:
                child.send_signal(number)
            code = _wait(child)
    if code < 0:
        return SIGNALLED - code, f"ended by {_name(-code)}"
    return code, f"exit code {code}" if code else None


def _not_run(code: int, complaint: str) -> tuple[int, str]:
    click.echo(f"jobstatus: {complaint}", err=True)
    return code, complaint


def _heard(numbers: tuple[signal.Signals, ...]) -> list[signal.Signals]:
    """Those that are not ignored: `nohup`, or a shell in the background, wants that for the command, too."""
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Its exit code; SIGCHLD has a handler.

    Every signal leaves a byte that ends the waiting. A wait for the child itself goes on where a signal came just
    before it began, and that signal would be passed on with the next one only.
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
        # the real-time signals have none but the first and the last
        return f"signal {number}"


def _pass_on(child: subprocess.Popen[bytes], number: int, _frame: FrameType | None) -> None:
    if number not in FROM_TERMINAL or not _hears_terminal(child):
        child.send_signal(number)


def _hears_terminal(child: subprocess.Popen[bytes]) -> bool:
    """Whether the terminal gives its signals to the child itself; where the streams lead to has no part in that."""
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
    except Exception as error:  # noqa: BLE001 - whatever it is, the command and its exit code matter more
        click.echo(f"jobstatus: {error}", err=True)


def _close(producer: JobStatusProducer) -> None:
    """Deliver, and say what could not be; a signal ends the waiting, and a second one the process."""
    try:
        with handled_by(signal.default_int_handler, _heard(ENDING)):
            _end(producer, None)
    except KeyboardInterrupt:
        # spooled, or raised with what is lost
        _end(producer, 0.0)


def _end(producer: JobStatusProducer, seconds: float | None) -> None:
    try:
        producer.close(seconds)
    except SystemError:
        # what the Kafka client makes of an exception that a signal's handler raises in the middle of its callbacks
        raise KeyboardInterrupt from None
    except Exception as error:  # noqa: BLE001 - as above
        click.echo(f"jobstatus: {error}", err=True)
