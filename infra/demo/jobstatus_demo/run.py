"""The parts of a run, one after the other. Everything is removed at the end, however it ends."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psycopg

from jobstatus_demo.after import run_after
from jobstatus_demo.before import run_before
from jobstatus_demo.errors import DemoError
from jobstatus_demo.looking import hold
from jobstatus_demo.plan import Plan
from jobstatus_demo.recount import recount
from jobstatus_demo.report import Report
from jobstatus_demo.servers import Servers, servers
from jobstatus_demo.show import Show
from jobstatus_demo.stage import made_stage


def run_demo(
    plan: Plan, show: Show, *, keep: bool = False, shown: Callable[[Report], object] = lambda report: None
) -> Report:
    """Run all of it, for about a minute, and call `shown` with the report; with `keep` the topic and the tables stay.

    With `keep`, servers that were started here run on beside a console until Ctrl-C.

    Raises `DemoError` if it cannot continue, also if a server cannot be fetched, started or reached.
    """
    started = time.monotonic()
    try:
        with (
            _terminated_like_interrupted(),
            tempfile.TemporaryDirectory(prefix="jobstatus-demo-") as folder,
            servers(show.say) as there,
        ):
            show.begin(plan, there, time.monotonic() - started)
            report = _run(plan, there, show, Path(folder), keep=keep, started=started)
            shown(report)
            if keep and "local" in (there.kafka, there.postgres):
                hold(there.environment(plan, os.environ), Path(folder), show.say)
            return report
    except psycopg.Error as error:
        raise DemoError(f"PostgreSQL failed, so the demo stopped: {str(error).strip()}") from error


def _run(plan: Plan, there: Servers, show: Show, folder: Path, *, keep: bool, started: float) -> Report:
    env = there.environment(plan, os.environ)
    with made_stage(plan, there, env, keep=keep) as stage:
        before = run_before(stage, env, folder, show)
        after = run_after(stage, env, folder, show)
        show.say("3/3 the recount: reading the whole topic again, comparing every row")
        found = recount(stage)
    return Report(plan, there, before, after, found, time.monotonic() - started)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: every `with` cleans up."""

    def handle(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
