"""How long a page of the console takes over a table with a million rows, in milliseconds."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.table import Table

from .place import CHECKOUT, Place
from .tables import plain_table
from .targets import Target

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.million import fill

PAGES: Final[Mapping[str, str]] = {
    "overview": "/",
    "jobs, by id": "/jobs?order=id",
    "jobs in a status": "/jobs?status=error&order=id",
    "jobs, no one passes": "/jobs?text=no+such+text&order=id",
    "jobs, newest first": "/jobs?order=newest",
    "one job": "/jobs/job-0500000",
    "stuck": "/stuck",
    "consumers": "/consumers",
}
ROUNDS: Final = 20
WANTED: Final = 300.0
START_SECONDS: Final = 60.0


def measure(place: Place, topic: str) -> dict[str, float]:
    """By page: the median of `ROUNDS` requests, in milliseconds."""
    with place.database() as url:
        fill(url, "jobs")
        with _console(place.environment(topic, 50, url)) as address:
            return {name: statistics.median(_times(address + path)) for name, path in PAGES.items()}


def _times(url: str) -> list[float]:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        with urllib.request.urlopen(url, timeout=30) as answer:
            answer.read()
        times.append((time.perf_counter() - started) * 1000)
    return times


@contextmanager
def _console(environ: Mapping[str, str]) -> Iterator[str]:
    """The address of a console in a process of its own, once it has counted the rows."""
    argv = [str(Path(sys.executable).with_name("jobstatus")), "console", "--console-address", "127.0.0.1:0"]
    env = {**environ, "JOBSTATUS_DEADLINES": "processing=15m"}
    with subprocess.Popen(argv, env=env, cwd=CHECKOUT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = process.stderr.readline().split()[-1]
        try:
            _wait(address)
            yield address
        finally:
            process.terminate()


def _wait(address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{address}/api/overview", timeout=30) as answer:
            if b'"rows":null' not in answer.read():
                return
        time.sleep(0.2)
    raise RuntimeError("the console has not counted the rows")


def table(found: Mapping[str, float]) -> Table:
    """The medians by page."""
    shown = plain_table("pages of the console over 1,000,000 rows", ["page"], ["ms"])
    for name, milliseconds in found.items():
        shown.add_row(name, f"{milliseconds:.0f}")
    return shown


def targets(found: Mapping[str, float]) -> list[Target]:
    """Each page in less than `WANTED`."""
    slowest = max(found, key=lambda name: found[name])
    what = f"the slowest page of the console ({slowest})"
    return [Target(what, f"{found[slowest]:.0f} ms", f"< {WANTED:.0f} ms", found[slowest] < WANTED)]
