"""Whether the consumer's memory grows with what it has written: its peak after a tenth of a backlog, and at the end."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from .marks import Run
from .place import Place
from .targets import Target

BATCH = 50
MOST_GROWTH = 1.1
"""the allocator's own fragments vary by some per cent from run to run"""


def measure(place: Place, events: int, jobs: int) -> Run:
    place.make_topic("memory")
    place.fill("memory", events, jobs)
    return place.run("ours", "memory", events, BATCH).run


def table(run: Run, events: int) -> Table:
    found = Table("events written", title="the consumer's memory, one run", title_justify="left", box=None,
                  padding=(0, 2, 0, 0))  # fmt: skip
    found.add_column("peak MB", justify="right")
    found.add_row(f"{events // 10:,}", f"{run.peak_at_a_tenth:.0f}")
    found.add_row(f"{events:,}", f"{run.peak_megabytes:.0f}")
    return found


def as_dict(run: Run, events: int) -> dict[str, Any]:
    return {
        "events": events,
        "peak_megabytes": round(run.peak_megabytes, 1),
        "peak_megabytes_at_a_tenth": round(run.peak_at_a_tenth, 1),
        "events_per_second": round(run.events_per_second),
    }


def targets(run: Run) -> list[Target]:
    growth = run.peak_megabytes / run.peak_at_a_tenth
    what = "peak memory, all events over a tenth of them"
    return [Target(what, f"{growth:.2f} x", f"{MOST_GROWTH} x at most", growth <= MOST_GROWTH)]
