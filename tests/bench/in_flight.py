"""Several batches in flight beside one, with a database at several distances."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from jobstatus_local.proxy import TcpProxy
from rich.table import Table

from .place import Measured, Place
from .tables import plain_table
from .targets import Target

BATCH: Final = 50
WINDOWS: Final = (1, 2, 4)
ROUND_TRIPS: Final = (0, 5, 20)
"""In milliseconds; 0 is without the proxy that makes the distance."""
SHARES: Final = {0: 1.0, 5: 0.2, 20: 0.1}
"""Of the events: one batch at a time takes long over a distance."""
WANTED: Final = {0: 0.97, 5: 2.5, 20: 3.0}
"""How many times one batch in flight the most are to reach."""

Case = tuple[int, int]
"""A round trip and a window."""


@dataclass
class InFlight:
    """Every run by round trip and window, the rounds in order."""

    runs: dict[Case, list[Measured]] = field(default_factory=dict)

    def median(self, case: Case, figure: Callable[[Measured], float]) -> float:
        return statistics.median(figure(item) for item in self.runs[case])

    def rate(self, case: Case) -> float:
        """Events a second."""
        return self.median(case, lambda item: item.run.events_per_second)

    def ratio(self, case: Case) -> float:
        """How many times the rate of one batch in flight: the median of the rounds' own ratios."""
        pairs = zip(self.runs[case], self.runs[case[0], 1], strict=True)
        return statistics.median(many.run.events_per_second / one.run.events_per_second for many, one in pairs)


def topics(events: int) -> Mapping[str, int]:
    """The topics that are needed, with the number of their events."""
    return {f"in-flight-{trip}": round(events * share) for trip, share in SHARES.items()}


def measure(place: Place, events: int, rounds: int, say: Callable[[str], None]) -> InFlight:
    found = InFlight()
    sizes = topics(events)
    with TcpProxy(place.stack.postgres.port) as proxy:
        for number in range(rounds):
            for trip in ROUND_TRIPS:
                proxy.delay(trip / 2000)
                through = proxy if trip else None
                topic = f"in-flight-{trip}"
                for window in WINDOWS:
                    run = place.run("ours", topic, sizes[topic], BATCH, settings=_settings(window), through=through)
                    found.runs.setdefault((trip, window), []).append(run)
                    rate = run.run.events_per_second
                    say(f"  round {number + 1}: {trip} ms, {window} in flight: {rate:,.0f} events/s")
    return found


def _settings(window: int) -> Mapping[str, str]:
    return {"JOBSTATUS_BATCHES_IN_FLIGHT": str(window)}


def table(found: InFlight, events: int) -> Table:
    rounds = len(found.runs[ROUND_TRIPS[0], 1])
    shown = plain_table(
        f"batch {BATCH}, {events:,} events and fewer over a distance, 4 partitions, a backlog; median of {rounds}",
        ["round trip", "in flight"],
        ["times one", "events/s", "CPU µs/event", "rounds, thousand/s"],
    )
    for trip, window in found.runs:
        case = (trip, window)
        shown.add_row(
            f"{trip} ms" if trip else "none",
            str(window),
            "" if window == 1 else f"{found.ratio(case):.2f} x",
            f"{found.rate(case):,.0f}",
            f"{found.median(case, lambda item: item.run.cpu_micros):.1f}",
            " ".join(f"{item.run.events_per_second / 1000:.1f}" for item in found.runs[case]),
        )
    return shown


def as_dict(found: InFlight) -> dict[str, Any]:
    return {
        f"{trip}_ms_{window}": {
            "events_per_second": round(found.rate((trip, window))),
            "times_one": round(found.ratio((trip, window)), 2),
            "cpu_micros_per_event": round(found.median((trip, window), lambda item: item.run.cpu_micros), 2),
        }
        for trip, window in found.runs
    }


def targets(found: InFlight) -> list[Target]:
    most = WINDOWS[-1]
    ratios = {trip: found.ratio((trip, most)) for trip in ROUND_TRIPS}
    return [
        Target(
            f"round trip {trip} ms, {most} batches in flight, times one",
            f"{ratios[trip]:.2f}",
            f"{wanted:g} or more",
            ratios[trip] >= wanted,
        )
        for trip, wanted in WANTED.items()
    ]
