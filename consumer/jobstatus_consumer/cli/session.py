"""Parts of the long commands: a clean stop, a progress bar, and the question before a change."""

from __future__ import annotations

import gc
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Final

import click

from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import JobStatusError, SettingsError, StartError
from jobstatus_consumer.signals import handled_by, stop_at_once
from jobstatus_consumer.store import Problem, Table, check, target_of
from jobstatus_consumer.telemetry import logs

LINE_EVERY: Final = 5.0
PATIENCE: Final = "Seconds to wait for a database that becomes unavailable during the run. At the start it must answer."

Observer = Callable[[int], None]


@contextmanager
def stopping() -> Iterator[Event]:
    """An event that SIGINT or SIGTERM sets; a second signal ends the process at once.

    The garbage collector is off inside: these commands make no cycles, and it would walk through a million rows.
    """
    stop = Event()
    collects = gc.isenabled()
    gc.disable()

    try:
        with handled_by(stop_at_once(stop)):
            yield stop
    finally:
        if collects:
            gc.enable()


@contextmanager
def progress(what: str, total: int) -> Iterator[Observer]:
    """A function that shows how much of `total` is done: a bar on a terminal, else a line every 5 s, on stderr."""
    if not sys.stderr.isatty():
        yield _lines(what, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}/s"),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, rate="-")

        def observe(done: int) -> None:
            rate = done / max(1e-3, time.monotonic() - started)
            bar.update(task, completed=min(done, total), rate=f"{rate:,.0f}")

        yield observe


def _lines(what: str, total: int) -> Observer:
    started = said = time.monotonic()

    def observe(done: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said < LINE_EVERY:
            return
        said = now
        rate = done / (now - started)
        left = max(0, total - done) / rate if rate else 0.0
        logs.tell(f"{what}: {done:,} of {total:,}, {rate:,.0f}/s, about {left:.0f} s left")

    return observe


def agreed(question: str, *, yes: bool) -> None:
    """Ask the user before a change. Blocks until there is an answer.

    Raises `JobStatusError` if the answer is no or a signal comes, and `SettingsError` if stdin is no terminal.
    """
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise SettingsError("there is nobody to ask: give --yes to go ahead, or --dry-run to only look")
    try:
        # a handler that only records the signal would not end the question
        with handled_by(signal.default_int_handler):
            said = click.confirm(question, err=True)
    except (click.Abort, KeyboardInterrupt):
        click.echo(err=True)  # end the line of the question
        said = False
    if not said:
        raise JobStatusError("nothing was changed")


@contextmanager
def already(what: str) -> Iterator[None]:
    """Print the result inside. If stdout cannot be written, the work named by `what` is done all the same."""
    try:
        yield
    except OSError as error:
        if what:
            error.add_note(what)
        raise


def say(text: str) -> None:
    """Print a line for a person to stderr; stdout is for the result."""
    logs.tell(text if logs.writes_json() else f"jobstatus: {text}")


def ready_table(settings: Settings, *, to_write: bool) -> Table:
    """The managed table; raises `StartError` with everything that is wrong with it, and what to do about each."""
    refuse(check(settings.database, settings.table, target=target_of(settings), to_write=to_write))
    return Table(settings.database, settings.table)


def refuse(problems: Sequence[Problem]) -> None:
    """Raise `StartError` with everything that is wrong, and what to do about each, if there is anything."""
    if problems:
        raise StartError("; ".join(f"{item.what} ({item.remedy})" for item in problems) + ". Nothing was changed")


yes_flag = click.option("--yes", is_flag=True, help="Do not ask before the change.")
dry_run_flag = click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
show_values_flag = click.option("--show-values", is_flag=True, help="Also print the values of rows and events.")
role_flag = click.option(
    "--role", metavar="NAME", help="The role for which to print GRANTs. [default: that of the database's URL]"
)
