"""Whether the consumer's memory depends on how much waits for it: its peak over two backlogs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from .marks import Run
from .place import Place
from .targets import Target

BATCH = 50
MOST_GROWTH = 1.15
"""Python's own memory varies by some per cent from run to run"""

Peaks = dict[int, Run]


def measure(place: Place, sizes: Sequence[int], jobs: int) -> Peaks:
    peaks = {}
    for events in sizes:
        topic = f"memory-{events}"
        place.make_topic(topic)
        place.fill(topic, events, jobs)
        peaks[events] = place.run("ours", topic, events, BATCH).run
    return peaks


def table(peaks: Peaks) -> Table:
    found = Table("events", title="the consumer's memory", title_justify="left", box=None, padding=(0, 2, 0, 0))
    found.add_column("peak MB", justify="right")
    found.add_column("events/s", justify="right")
    for events, run in peaks.items():
        found.add_row(f"{events:,}", f"{run.peak_megabytes:.0f}", f"{run.events_per_second:,.0f}")
    return found


def as_dict(peaks: Peaks) -> dict[str, Any]:
    return {
        str(events): {
            "peak_megabytes": round(run.peak_megabytes, 1),
            "events_per_second": round(run.events_per_second),
        }
        for events, run in peaks.items()
    }


def targets(peaks: Peaks) -> list[Target]:
    few, many = peaks.values()
    growth = many.peak_megabytes / few.peak_megabytes
    return [Target("peak memory with ten times the events", f"{growth:.2f} x", f"{MOST_GROWTH} x at most",
                   growth <= MOST_GROWTH)]  # fmt: skip
