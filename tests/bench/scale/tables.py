"""The tables of the scale bench, on the screen and in docs/scale.md: ratios first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from rich.table import Table

from ..tables import plain_table
from .fit import Prediction
from .parts import PARTS, VARIES
from .rebalance import Rebalance
from .result import Result, part_of
from .runner import Measured

BASES: Final = {"batch": "50"}
"""The case that is one time, where it is not the first one of its distance."""
EXTRA: Final = {"consumers": ("of linear", "batch"), "partitions": ("in a batch",)}
"""Columns that a part has besides."""
FULL: Final = 0.9
"""Of the cores or of one consumer: more is its limit."""


class Lines(NamedTuple):
    """A table: its titles, and its cells as text."""

    titles: tuple[str, ...]
    cells: list[tuple[str, ...]]

    def markdown(self) -> str:
        rows = [self.titles, ("---",) * len(self.titles), *self.cells]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def rich(self, title: str) -> Table:
        shown = plain_table(title, self.titles[:1], self.titles[1:])
        for row in self.cells:
            shown.add_row(*row)
        return shown


def part(result: Result, name: str) -> Lines:
    """The table of one part; without lines if it was not measured."""
    titles = (
        VARIES[name],
        "times",
        *EXTRA.get(name, ()),
        "events/s",
        "limit",
        "CPU µs: consumer",
        "PostgreSQL",
        "broker",
        "cores",
        "WAL bytes",
        "MB",
        "trip ms",
    )
    return Lines(titles, [_line(result, name, key, item) for key, item in cases(result, name)])


def cases(result: Result, name: str) -> list[tuple[str, Measured]]:
    """The measured cases of a part, in the part's order."""
    return [(key, item) for key, item in result.samples.items() if part_of(key) == name]


def ratio(result: Result, key: str) -> float:
    """How many times the rate of the case that it is compared with."""
    return result.samples[key].sample.events_per_second / result.samples[_base(result, key)].sample.events_per_second


def of_linear(result: Result, key: str) -> float:
    """The rate, as a share of so many times one consumer's."""
    return ratio(result, key) / result.samples[key].sample.consumers


def _base(result: Result, key: str) -> str:
    name, _, label = key.partition(": ")
    trip, comma, _ = label.rpartition(", ")
    alike = [each for each, _ in cases(result, name) if each.startswith(f"{name}: {trip}{comma}")]
    wanted = f"{name}: {trip}{comma}{BASES.get(name, '')}"
    return wanted if wanted in alike else alike[0]


def _line(result: Result, name: str, key: str, item: Measured) -> tuple[str, ...]:
    sample = item.sample
    extra = {
        "of linear": f"{of_linear(result, key):.0%}",
        "batch": str(sample.batch),
        "in a batch": f"{sample.logs_in_a_batch:.1f}",
    }
    return (
        key.partition(": ")[2],
        f"{ratio(result, key):.2f}",
        *(extra[title] for title in EXTRA.get(name, ())),
        f"{sample.events_per_second:,.0f}",
        limit(result, item),
        f"{sample.consumer_micros:.1f}",
        f"{sample.postgres_micros:.1f}",
        f"{sample.broker_micros:.1f}",
        f"{sample.used_cores:.2f}",
        f"{sample.wal_bytes:.0f}",
        f"{sample.megabytes:.0f}",
        f"{sample.trip_ms:.1f}",
    )


def limit(result: Result, item: Measured) -> str:
    """What kept a case from being faster."""
    sample = item.sample
    if sample.used_cores + sample.other_cores > FULL * result.cores:
        return "cores" if sample.other_cores < 1 - FULL else "cores, shared"
    if sample.consumer_micros * sample.events_per_second / 1e6 > FULL * sample.consumers:
        return "CPU of a consumer"
    return "round trip" if sample.trip_ms > sample.cycle_ms * sample.window / 2 else "database"


def predicted(found: Sequence[Prediction]) -> Lines:
    """What the model says of the measurements that it has not seen."""
    cells: list[tuple[str, ...]] = [
        (item.key, f"{item.ratio:.2f}", f"{item.predicted:,.0f}", f"{item.measured:,.0f}") for item in found
    ]
    return Lines(("held out", "predicted/measured", "predicted events/s", "measured"), cells)


def rebalances(result: Result) -> Lines:
    """The seconds of each protocol."""
    titles = ("protocol", "members", "all join, s", "one more, s", "one less, s")
    return Lines(titles, [(name, *_seconds(item)) for name, item in result.rebalance.items()])


def _seconds(item: Rebalance) -> tuple[str, ...]:
    return str(item.members), f"{item.joined:.1f}", f"{item.one_more:.1f}", f"{item.one_less:.1f}"


def machine(result: Result) -> str:
    """The machine's facts in one line."""
    facts = ", ".join(f"{name} {value}" for name, value in result.machine.items())
    busy = max((item.sample.other_cores for item in result.samples.values()), default=0.0)
    return (
        f"{facts}; medians of {result.rounds} rounds of {result.seconds:g} s;"
        f" a commit {result.commit_micros / 1000:.2f} ms; other programs took up to {busy:.1f} cores"
    )


def all_parts(result: Result) -> Iterator[tuple[str, Lines]]:
    """Each part that was measured."""
    for name in PARTS:
        if cases(result, name):
            yield name, part(result, name)
