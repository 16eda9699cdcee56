"""What a person sees of the demo: progress while it runs, then the report with bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from jobstatus_demo.plan import UPDATES_PER_JOB, Plan
from jobstatus_demo.report import Report
from jobstatus_demo.servers import Servers

SAY_EVERY: Final = 0.25
"""Without a terminal, a line is printed for each quarter."""
PLAIN_WIDTH: Final = 100
"""Columns, if there is no terminal."""
MIN_BAR: Final = 10
MAX_BAR: Final = 48
BESIDE_THE_BAR: Final = 42
EIGHTHS: Final = " ▏▎▍▌▋▊▉"

KAFKA: Final = {"yours": "your Kafka", "local": "a real Apache Kafka, started here"}
POSTGRES: Final = {"yours": "your PostgreSQL", "local": "a real PostgreSQL, started here"}


class Show:
    """Prints to a console: progress bars if it is a terminal, else plain lines."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def begin(self, plan: Plan, servers: Servers, seconds: float) -> None:
        """Print what is about to run, and on which servers."""
        self.say(
            f"{plan.workers} workers, {plan.jobs:,} jobs, {UPDATES_PER_JOB} updates each = {plan.updates:,} updates"
        )
        self.say(f"on {KAFKA[servers.kafka]}, and {POSTGRES[servers.postgres]} ({seconds:.1f} s)")

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """A progress bar, or lines. Call the function that it yields with the number done so far."""
        if not self._console.is_terminal:
            self.say(title)
            yield self._lines(total)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console) as bars:
            task = bars.add_task(title, total=total)
            yield lambda done: bars.update(task, completed=done)

    def _lines(self, total: int) -> Callable[[int], None]:
        said = 0.0

        def at(done: int) -> None:
            nonlocal said
            share = int(done / total / SAY_EVERY) * SAY_EVERY
            if share > said:
                said = share
                self.say(f"    {done:,} of {total:,}")

        return at

    def report(self, report: Report) -> None:
        """Print the figures, before and after."""
        width = max(MIN_BAR, min(MAX_BAR, self._console.width - BESIDE_THE_BAR))
        parts = (_comparison(report, width), _story(report), _verdict(report), _method(report))
        for part in parts:
            self._console.print()
            self._console.print(part, markup=False, highlight=False)


def bar(value: float, most: float, width: int) -> str:
    """`value` as a bar of at most `width` characters; every value above 0 is visible."""
    eighths = round(value / most * width * 8) if most > 0 else 0
    eighths = max(1 if value > 0 else 0, min(eighths, width * 8))
    full, rest = divmod(eighths, 8)
    return "█" * full + (EIGHTHS[rest] if rest else "")


def time_text(seconds: float) -> str:
    """A time in the unit that fits it, with about three digits."""
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if seconds * factor >= 1:
            amount = seconds * factor
            return f"{amount:,.0f} {unit}" if amount >= 100 else f"{amount:,.1f} {unit}"
    return f"{seconds * 1e6:,.0f} µs"


def _comparison(report: Report, width: int) -> Table:
    table = Table(box=None, padding=(0, 1), show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(style="dim")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    for name, before, after in _measures(report):
        most = max(before.value, after.value)
        table.add_row(name, "before", before.text, Text(bar(before.value, most, width), "red"))
        table.add_row("", "after", after.text, Text(bar(after.value, most, width), "green"))
    return table


class _Figure(NamedTuple):
    value: float
    text: str


def _measures(report: Report) -> list[tuple[str, _Figure, _Figure]]:
    before, after = report.before, report.after.cost
    about = "~" if report.is_sample else ""

    def of(write: Callable[[float], str], old: float, new: float, *, scaled: bool = False) -> tuple[_Figure, _Figure]:
        if not scaled:
            return _Figure(old, write(old)), _Figure(new, write(new))
        old *= report.scale
        return _Figure(old, about + write(old)), _Figure(new, write(new))

    micros = 1e-6
    return [
        ("database connections", *of(_count, before.connections, after.connections, scaled=True)),
        ("at the same time", *of(_count, before.most_connections, after.most_connections)),
        ("write transactions", *of(_count, before.transactions, after.transactions, scaled=True)),
        ("one call, p50", *of(time_text, before.calls.p50_micros * micros, after.calls.p50_micros * micros)),
        ("one call, p99", *of(time_text, before.calls.p99_micros * micros, after.calls.p99_micros * micros)),
        ("all calls together", *of(time_text, before.calls.total_seconds, after.calls.total_seconds, scaled=True)),
        ("until all is written", *of(time_text, before.seconds, after.seconds, scaled=True)),
    ]


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _story(report: Report) -> Table:
    plan, before, after, crash = report.plan, report.before, report.after, report.after.crash
    table = Table(box=None, padding=(0, 1), show_header=False, pad_edge=False)
    if report.is_sample:
        table.add_row(
            "before",
            f"a sample: {before.updates:,} of {plan.updates:,} updates, in {before.seconds:.1f} s. "
            f"Figures with a ~ are scaled up by {report.scale:.2f}.",
        )
    table.add_row("after", f"all {after.cost.updates:,} updates, in {after.batches:,} batches.")
    table.add_row(
        "the crash",
        f"The consumer was killed with SIGKILL when {crash.written:,} updates were written. For "
        f"{crash.seconds_without:.1f} s nobody wrote: so long Kafka waits for a member before it gives its work to "
        f"another. The workers noticed nothing; they reported {crash.reported_meanwhile:,} updates meanwhile.",
    )
    table.add_row(
        "redelivered",
        f"{after.redelivered:,} updates were written but not yet committed. They came again and changed nothing.",
    )
    return table


def _verdict(report: Report) -> Table:
    table = Table(box=None, padding=(0, 1), show_header=False, pad_edge=False)
    for bound in report.bounds:
        table.add_row(Text("kept  " if bound.held else "BROKEN", "green" if bound.held else "bold red"), bound.text)
    return table


def _method(report: Report) -> str:
    connections = (
        "what PostgreSQL counted as sessions, on this demo's own server"
        if report.servers.postgres == "local"
        else "those that wrote, as the demo's tables noted them by a trigger"
    )
    return (
        f"How it was counted. Connections: {connections}. Write transactions: noted by a trigger on the demo's tables. "
        f"Lost: the whole topic was read again ({report.recount.events:,} events), its events were applied one by one, "
        f"and the result compared with every row ({report.recount.rows:,}) and with what the workers reported. "
        f"Gone back: every row was looked at {report.after.looks} times while others wrote. "
        f"It all took {report.seconds:.0f} s."
    )


def console(*, stderr: bool) -> Console:
    """The console for the demo: as wide as the terminal, or 100 columns if there is none."""
    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=PLAIN_WIDTH)
