"""Whether memory grows with the log: the consumer's after a tenth of it and at its end, a rebuild's, verify's."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import psutil
from rich.table import Table

from .marks import Run
from .place import Place
from .replay import COMMAND
from .tables import plain_table
from .targets import Target

BATCH: Final = 50
MOST_GROWTH: Final = 1.1
"""the allocator's own fragments vary by some per cent from run to run"""
MOST_MEBIBYTES: Final = 1024.0
EVENTS_OF_A_JOB: Final = 10


class Peak(NamedTuple):
    """A command's highest resident memory, and how long it took."""

    mebibytes: float
    seconds: float


class Memory(NamedTuple):
    """The consumer's run, and the peaks of the commands that read the whole log, by name."""

    run: Run
    peaks: Mapping[str, Peak]


def measure(place: Place, events: int, jobs: int) -> Memory:
    """The consumer over `events` of `jobs`; then `--into` and verify over as many of a tenth as many jobs."""
    place.make_topic("memory")
    place.fill("memory", events, jobs)
    run = place.run("ours", "memory", events, BATCH).run
    place.make_topic("many")
    place.fill("many", events, events // EVENTS_OF_A_JOB)
    with place.database() as url:
        env = place.environment("many", 500, url)
        peaks = {
            "replay --into": _peak(env, "replay", "--into", "many", "--yes"),
            "verify": _peak(env, "verify", "--table", "many", "--to", "now"),
        }
    return Memory(run, peaks)


def _peak(env: Mapping[str, str], *arguments: str) -> Peak:
    started = time.perf_counter()
    process = psutil.Popen([COMMAND, *arguments], env=dict(env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        try:
            peak = max(peak, process.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.2)
    if process.wait():
        raise RuntimeError(f"{arguments} ended with {process.returncode}")
    return Peak(peak / 2**20, time.perf_counter() - started)


def table(found: Memory, events: int) -> Table:
    shown = plain_table("memory, one run each", ["what"], ["events", "of jobs", "peak", "seconds"])
    run = found.run
    shown.add_row("consume", f"{events // 10:,}", "", f"{run.peak_at_a_tenth:.0f} MB")
    shown.add_row("consume", f"{events:,}", "", f"{run.peak_megabytes:.0f} MB", f"{run.seconds:.0f}")
    for name, peak in found.peaks.items():
        jobs = f"{events // EVENTS_OF_A_JOB:,}"
        shown.add_row(name, f"{events:,}", jobs, f"{peak.mebibytes:.0f} MiB", f"{peak.seconds:.0f}")
    return shown


def as_dict(found: Memory, events: int) -> dict[str, Any]:
    run = found.run
    return {
        "events": events,
        "peak_megabytes": round(run.peak_megabytes, 1),
        "peak_megabytes_at_a_tenth": round(run.peak_at_a_tenth, 1),
        "events_per_second": round(run.events_per_second),
        "peak_mebibytes": {name: round(peak.mebibytes, 1) for name, peak in found.peaks.items()},
    }


def targets(found: Memory) -> list[Target]:
    growth = found.run.peak_megabytes / found.run.peak_at_a_tenth
    return [
        Target(
            "peak memory, all events over a tenth of them",
            f"{growth:.2f} x",
            f"{MOST_GROWTH} x at most",
            growth <= MOST_GROWTH,
        ),
        *(
            Target(
                f"peak memory of {name}",
                f"{peak.mebibytes:.0f} MiB",
                f"{MOST_MEBIBYTES:.0f} MiB at most",
                peak.mebibytes <= MOST_MEBIBYTES,
            )
            for name, peak in found.peaks.items()
        ),
    ]
