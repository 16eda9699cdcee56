"""One part after the other, and everything removed at the end, however it ends."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from jobstatus_consumer.config import load_settings
from jobstatus_consumer.errors import StartError
from jobstatus_local.errors import LocalServerError

from jobstatus_demo.after import run_after
from jobstatus_demo.before import run_before
from jobstatus_demo.plan import Plan
from jobstatus_demo.recount import Recount, compare
from jobstatus_demo.report import Report
from jobstatus_demo.servers import Servers, servers
from jobstatus_demo.show import Show
from jobstatus_demo.stage import Stage, a_stage


def run_demo(plan: Plan, show: Show, *, keep: bool = False) -> Report:
    """Run all of it; with `keep` the topic and the tables stay. Raises `JobStatusError` where it cannot go on."""
    started = time.monotonic()
    try:
        with (
            _terminated_like_interrupted(),
            tempfile.TemporaryDirectory(prefix="jobstatus-demo-") as folder,
            servers(show.say) as there,
        ):
            show.begin(plan, there, time.monotonic() - started)
            return _run(plan, there, show, Path(folder), keep=keep, started=started)
    except LocalServerError as error:
        raise StartError(str(error)) from error


def _run(plan: Plan, there: Servers, show: Show, folder: Path, *, keep: bool, started: float) -> Report:
    env = there.environment(plan, os.environ)
    settings = load_settings(env)
    with a_stage(plan, settings, there, keep=keep) as stage:
        before = run_before(stage, env, folder, show)
        after = run_after(stage, env, folder, show)
        recount = recount_all(stage, show)
    return Report(plan, there, before, after, recount, time.monotonic() - started)


def recount_all(stage: Stage, show: Show) -> Recount:
    """Read the whole topic again and compare every row."""
    plan = stage.plan
    show.say("3/3 the recount: reading the whole topic again, comparing every row")
    return compare(stage.read_topic(), stage.read_rows(), plan.reported(), plan.last_status())


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: every `with` cleans up after itself."""

    def handle(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
