"""`status --watch` in a terminal: one overview that is redrawn, with how old it is and what has changed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from jobstatus_consumer.cli.show import status as screen
from jobstatus_consumer.cli.show.screen import COLUMNS, plain_console, print_fitted
from jobstatus_consumer.config import Settings
from jobstatus_consumer.durations import shown_duration
from jobstatus_consumer.operations import StatusReport

REDRAWN: Final = 1
"""Times a second that the screen is drawn: its age counts up while a look waits for broker or database."""
REMEMBERED: Final = 60.0
"""Seconds for which a lag is kept, to say what has changed since."""
STALE: Final = 10.0
"""An overview that is older than so many seconds is called stale: it may no longer be true."""


class LiveScreen:
    """A context manager that takes over the terminal, and gives it back as it was. `last` is the report on it."""

    def __init__(
        self, settings: Settings, console: Console | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._console = console or plain_console()
        self._clock = clock
        self._lags: deque[tuple[float, int]] = deque()
        self.last: StatusReport | None = None
        self._live = Live(
            console=self._console,
            screen=True,
            get_renderable=self.drawn,
            refresh_per_second=REDRAWN,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, report: StatusReport) -> None:
        """Draw this report from now on."""
        self.last = report
        while self._lags and report.at - self._lags[0][0] > REMEMBERED:
            self._lags.popleft()
        if report.lag is not None:
            self._lags.append((report.at, report.lag))
        self._live.refresh()

    def drawn(self) -> RenderableType:
        """The whole screen as it is now. Called from rich's thread as well."""
        width = min(self._console.width, COLUMNS)
        paper = plain_console(width=width)
        with paper.capture() as captured:
            self._write(paper)
        return Text(captured.get())

    def _write(self, paper: Console) -> None:
        report = self.last
        if report is None:
            paper.print("jobstatus status: asking the broker and the database ... Ctrl-C ends")
            return
        age = max(0.0, self._clock() - report.at)
        mark = ": STALE" if age > STALE else ""
        at = time.strftime("%H:%M:%S", time.gmtime(report.at))
        paper.print(f"jobstatus status at {at} UTC, {shown_duration(age)} ago{mark}; Ctrl-C ends")
        paper.print(self._trend(report))
        for problem in report.problems:
            print_fitted(paper, f"! {problem}")
        paper.print("")
        screen.show(self._settings, report, paper)

    def _trend(self, report: StatusReport) -> str:
        if report.lag is None or not self._lags:
            return "lag: not known"
        before, lag = self._lags[0]
        change = report.lag - lag
        since = f" ({change:+,} in {shown_duration(report.at - before)})" if len(self._lags) > 1 else ""
        age = report.lag_seconds
        oldest = "" if not report.lag or age is None else f", the oldest event waits for {shown_duration(age)}"
        return f"lag: {report.lag:,}{since}{oldest}"
