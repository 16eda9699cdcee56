"""What the long commands share: a clean stop, a progress bar, the question before anything is changed."""

from __future__ import annotations

import gc
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Final

import click

from jobstatus_consumer.errors import JobStatusError, SettingsError
from jobstatus_consumer.signals import handled_by, stop_at_once

LINE_EVERY: Final = 5.0
PATIENCE: Final = "How many seconds a database that goes away while it writes is awaited; at the start it must answer."

Observer = Callable[[int], None]


@contextmanager
def stopping() -> Iterator[Event]:
    """An event that SIGINT or SIGTERM sets; a second signal ends the process at once.

    Nothing here makes cycles, and the collector would walk again and again through a million rows in memory.
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
    """Told how much of `total` is done: a bar with rate and time left on a terminal, else a line now and then."""
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
        click.echo(f"{what}: {done:,} of {total:,}, {rate:,.0f}/s, about {left:.0f} s left", err=True)

    return observe


def agreed(question: str, *, yes: bool) -> None:
    """Ask before anything is changed.

    Raises `JobStatusError` for a no and for a signal, and `SettingsError` where nobody can answer.
    """
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise SettingsError("there is nobody to ask: give --yes to go ahead, or --dry-run to only look")
    try:
        # a handler that only notes the signal would leave the question waiting for its answer
        with handled_by(signal.default_int_handler):
            said = click.confirm(question, err=True)
    except (click.Abort, KeyboardInterrupt):
        click.echo(err=True)  # the question's line has no end yet
        said = False
    if not said:
        raise JobStatusError("nothing was changed")


@contextmanager
def already(what: str) -> Iterator[None]:
    """Meanwhile only the answer is printed: where the output cannot hold it, `what` is true all the same."""
    try:
        yield
    except OSError as error:
        if what:
            error.add_note(what)
        raise


def say(text: str) -> None:
    """A line for a person; stdout is for the answer."""
    click.echo(f"jobstatus: {text}", err=True)


yes_flag = click.option("--yes", is_flag=True, help="Do not ask.")
dry_run_flag = click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
show_values_flag = click.option("--show-values", is_flag=True, help="Print the values of rows and events, too.")
