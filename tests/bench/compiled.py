"""The compiled wheel beside the pure code, in turns: what an event costs the consumer's process.

With `--before FOLDER` an earlier checkout with its own virtual environment runs too.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from rich.table import Table

from .marks import Run
from .place import CHECKOUT, Place
from .tables import plain_table
from .targets import Target

SIZES: Final = {50: 1, 500: 4}
"""The sizes of a batch, and how many times as many events each has.

Batches of 500 are quick, and a run of half a second is that of the broker's first fetches.
"""
WANTED: Final = {"before": 0.65, "pure": 0.75}
"""The share of the CPU of each that the compiled one may take at 500. The pure code has become quicker as well."""
RATES: Final = {("bare", 50): 0.75, ("bare", 500): 1.0, ("plain", 50): 1.6, ("plain", 500): 1.6}
WORDS: Final = {
    "compiled": "jobstatus consume, compiled",
    "ahead": "the same, 2 batches in flight",
    "pure": "jobstatus consume, pure",
    "before": "jobstatus consume, an earlier commit",
    "bare": "bare Store.write, compiled, no Kafka",
    "plain": "plain loop: executemany",
}


class Backlog(NamedTuple):
    """A topic, and how many events it holds."""

    topic: str
    events: int


Case = tuple[str, int]
"""A contender and the size of its batches."""


@dataclass
class Compiled:
    """Every run by contender and batch size, the rounds in order."""

    runs: dict[Case, list[Run]] = field(default_factory=dict)

    def median(self, case: Case, figure: Callable[[Run], float]) -> float:
        return statistics.median(map(figure, self.runs[case]))

    def ratio(self, case: Case, figure: Callable[[Run], float], ours: str = "compiled") -> float:
        """A figure of `ours`, of that of `case`: the median of the rounds' own ratios."""
        pairs = zip(self.runs[ours, case[1]], self.runs[case], strict=True)
        return statistics.median(figure(one) / figure(other) for one, other in pairs)


def _cpu(run: Run) -> float:
    return run.cpu_micros


def _rate(run: Run) -> float:
    return run.events_per_second


def measure(
    place: Place, backlogs: Mapping[int, Backlog], rounds: int, before: Path | None, say: Callable[[str], None]
) -> Compiled:
    """Each contender over the backlog of each size of a batch, in turns."""
    found = Compiled()
    with _compiled_wheel() as wheel:
        ours = {"PYTHONPATH": str(wheel)}
        contenders: dict[str, tuple[str, Mapping[str, str]]] = {
            "pure": ("ours", {}),
            "compiled": ("ours", ours),
            "ahead": ("ours", {**ours, "JOBSTATUS_BATCHES_IN_FLIGHT": "2"}),
            "bare": ("bare", ours),
            "plain": ("plain", {}),
        }
        if before is not None:
            contenders = {"before": ("ours", {}), **contenders}
        for number in range(rounds):
            for size, (topic, events) in backlogs.items():
                for name, (module, settings) in contenders.items():
                    old = before if name == "before" else None
                    run = place.run(module, topic, events, size, _older(old), settings=settings, checkout=old).run
                    found.runs.setdefault((name, size), []).append(run)
                    say(f"  round {number + 1}: {name} at {size}: {run.cpu_micros:.1f} µs CPU an event")
    return found


@contextmanager
def _compiled_wheel() -> Iterator[Path]:
    """A folder with the compiled wheel of this checkout, unpacked."""
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
        subprocess.run(
            build,
            cwd=CHECKOUT,
            env={**os.environ, "HATCH_BUILD_HOOK_ENABLE_CUSTOM": "true"},
            check=True,
            capture_output=True,
        )
        (wheel,) = Path(folder).glob("*.whl")
        into = Path(folder) / "wheel"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(into)
        yield into


def _older(checkout: Path | None) -> Callable[[str], object]:
    """Makes the tables of an earlier checkout in place of ours: it may refuse newer ones."""
    if checkout is None:
        return lambda url: None

    def prepare(url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        migrate: list[str | Path] = [checkout / ".venv" / "bin" / "jobstatus", "migrate"]
        subprocess.run(migrate, env={**os.environ, "JOBSTATUS_DATABASE_URL": url}, check=True, capture_output=True)

    return prepare


def table(found: Compiled, events: int) -> Table:
    rounds = len(next(iter(found.runs.values())))
    counts = " and ".join(f"{times * events:,} (batch {size})" for size, times in SIZES.items())
    shown = plain_table(
        f"backlogs of {counts} events; medians of {rounds}",
        ["batch", "contender"],
        ["CPU µs/event", "compiled takes", "events/s", "compiled is"],
    )
    for name, size in sorted(found.runs, key=lambda case: case[1]):
        ours, case = name == "compiled", (name, size)
        shown.add_row(
            str(size),
            WORDS[name],
            f"{found.median(case, _cpu):.1f}",
            "" if ours else f"{found.ratio(case, _cpu):.2f} x",
            f"{found.median(case, _rate):,.0f}",
            "" if ours else f"{found.ratio(case, _rate):.2f} x",
        )
    return shown


def as_dict(found: Compiled) -> dict[str, Any]:
    return {
        f"{name}_{size}": {
            "cpu_micros_per_event": round(found.median((name, size), _cpu), 2),
            "events_per_second": round(found.median((name, size), _rate)),
            "compiled_cpu_ratio": round(found.ratio((name, size), _cpu), 2),
            "compiled_rate_ratio": round(found.ratio((name, size), _rate), 2),
            "ahead_rate_ratio": round(found.ratio((name, size), _rate, "ahead"), 2),
            "rounds": [round(run.cpu_micros, 2) for run in runs],
        }
        for (name, size), runs in found.runs.items()
    }


def targets(found: Compiled) -> list[Target]:
    cpu = [
        Target(f"compiled at 500, CPU of {name}", f"{ratio:.2f}", f"{most} or less", ratio <= most)
        for name, most in WANTED.items()
        if (name, 500) in found.runs
        for ratio in [found.ratio((name, 500), _cpu)]
    ]
    rates = [
        Target(f"compiled at {size}{how}, times {name}", f"{ratio:.2f}", f"{least} or more", ratio >= least)
        for (name, size), least in RATES.items()
        for ours, how in (("compiled", ""), ("ahead", ", 2 in flight"))
        for ratio in [found.ratio((name, size), _rate, ours)]
    ]
    return cpu + rates
