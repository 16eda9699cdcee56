"""Our consumer beside the plain loop and the bare statement loop: three rounds in turn, medians."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from .marks import Run
from .place import Measured, Place
from .tables import plain_table
from .targets import Target

SIZES = (50, 500)
CONTENDERS = {
    "ours": "jobstatus consume",
    "plain": "plain loop: executemany",
    "bare": "bare Store.write, no Kafka",
}


@dataclass
class Speed:
    """Every run by (contender, batch size)."""

    runs: dict[tuple[str, int], list[Measured]] = field(default_factory=dict)

    def median(self, contender: str, size: int, figure: Callable[[Run], float]) -> float:
        return statistics.median(figure(item.run) for item in self.runs[contender, size])

    def rate(self, contender: str, size: int) -> float:
        """Events a second."""
        return self.median(contender, size, lambda run: run.events_per_second)

    def transactions(self, contender: str, size: int) -> float:
        """Write transactions for a thousand events."""
        return statistics.median(item.transactions_per_1000 for item in self.runs[contender, size])

    def ratio(self, contender: str, size: int) -> float:
        """How many times as fast as `contender` we are: the median of the rounds' own ratios, so that what else the
        machine did in a round falls on both."""
        pairs = zip(self.runs["ours", size], self.runs[contender, size], strict=True)
        return statistics.median(ours.run.events_per_second / other.run.events_per_second for ours, other in pairs)

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for contender, size in self.runs:
            found[f"{contender}_{size}"] = {
                "events_per_second": round(self.rate(contender, size)),
                "cpu_micros_per_event": round(self.median(contender, size, lambda run: run.cpu_micros), 2),
                "transactions_per_1000_events": round(self.transactions(contender, size), 2),
                "peak_megabytes": round(self.median(contender, size, lambda run: run.peak_megabytes), 1),
                "rounds": [round(item.run.events_per_second) for item in self.runs[contender, size]],
            }
        for size in SIZES:
            found[f"ours_{size}"]["times_plain"] = round(self.ratio("plain", size), 2)
            found[f"ours_{size}"]["times_bare"] = round(self.ratio("bare", size), 2)
        return found


def measure(place: Place, topic: str, events: int, rounds: int, say: Callable[[str], None]) -> Speed:
    speed = Speed()
    for number in range(rounds):
        for size in SIZES:
            for contender in CONTENDERS:
                found = place.run(contender, topic, events, size)
                speed.runs.setdefault((contender, size), []).append(found)
                say(f"  round {number + 1}: {contender} at {size}: {found.run.events_per_second:,.0f} events/s")
    return speed


def table(speed: Speed, events: int, jobs: int) -> Table:
    rounds = len(speed.runs["ours", SIZES[0]])
    found = plain_table(
        f"{events:,} events of {jobs:,} jobs, 4 partitions, a backlog; median of {rounds}",
        ["batch", "contender"],
        ["events/s", "ours is", "CPU µs/event", "transactions/1,000", "peak MB", "rounds, thousand/s"],
    )
    for contender, size in speed.runs:
        found.add_row(
            str(size),
            CONTENDERS[contender],
            f"{speed.rate(contender, size):,.0f}",
            "" if contender == "ours" else f"{speed.ratio(contender, size):.2f} x",
            f"{speed.median(contender, size, lambda run: run.cpu_micros):.1f}",
            f"{speed.transactions(contender, size):.1f}",
            f"{speed.median(contender, size, lambda run: run.peak_megabytes):.0f}",
            " ".join(f"{item.run.events_per_second / 1000:.1f}" for item in speed.runs[contender, size]),
        )
    return found


def targets(speed: Speed) -> list[Target]:
    plain = [
        Target(
            f"batch {size}, times the plain loop",
            f"{speed.ratio('plain', size):.2f}",
            "1.5 or more",
            speed.ratio("plain", size) >= 1.5,
        )
        for size in SIZES
    ]
    return [
        *plain,
        Target(
            "batch 50, of the bare loop",
            f"{speed.ratio('bare', 50):.0%}",
            "45 % or more",
            speed.ratio("bare", 50) >= 0.45,
        ),
        Target(
            "batch 50, write transactions for 1,000 events",
            f"{speed.transactions('ours', 50):.1f}",
            "20",
            speed.transactions("ours", 50) < 20.5,
        ),
    ]
