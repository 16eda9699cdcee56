"""The same backlog in both framings, and with another writer's schema: what Confluent's framing costs a drain."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from jobstatus_schemas import decode, schema_text
from rich.table import Table

from .place import Place, backlog
from .tables import plain_table
from .targets import Target

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.apicurio import Registry
from support.confluent import TEAM, changed, framed, framed_with

BATCH = 50
WANTED = 0.9
CONTENDERS = {
    "single-object": "single-object",
    "confluent": "Confluent's framing, our schema",
    "other-writer": "Confluent's framing, a schema with a field more",
}


class Framing(NamedTuple):
    """Events a second of each round, by contender."""

    rates: dict[str, list[float]]

    def ratio(self, contender: str) -> float:
        """Of single-object: the median of the rounds' own ratios."""
        pairs = zip(self.rates[contender], self.rates["single-object"], strict=True)
        return statistics.median(one / other for one, other in pairs)


@contextmanager
def _registry() -> Iterator[Registry]:
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(Path(folder))
        try:
            registry.start()
            yield registry
        finally:
            registry.close()


def measure(place: Place, events: int, jobs: int, rounds: int, say: Callable[[str], None]) -> Framing:
    rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    with _registry() as registry:
        _fill(place, registry, events, jobs)
        settings = {"JOBSTATUS_SCHEMA_REGISTRY_URL": registry.url}
        for number in range(rounds):
            for name in CONTENDERS:
                found = place.run("ours", f"framing-{name}", events, BATCH, settings=settings).run
                rates[name].append(found.events_per_second)
                say(f"  round {number + 1}: {name}: {found.events_per_second:,.0f} events/s")
    return Framing(rates)


def _fill(place: Place, registry: Registry, events: int, jobs: int) -> None:
    wide = changed(more=(TEAM,))
    ours, other = registry.register("ours", schema_text()), registry.register("other", wide)
    values: dict[str, Callable[[bytes], bytes]] = {
        "single-object": lambda value: value,
        "confluent": lambda value: framed(ours, decode(value)),
        "other-writer": lambda value: framed_with(other, wide, {**decode(value)._asdict(), "team": "a"}),
    }
    for name, value_of in values.items():
        place.make_topic(f"framing-{name}")
        place.produce(f"framing-{name}", ((key, value_of(value)) for key, value in backlog(events, jobs)))


def table(found: Framing, events: int) -> Table:
    title = f"{events:,} events at batch {BATCH}; median of {len(found.rates['confluent'])}"
    shown = plain_table(title, ["framing"], ["events/s", "of single-object"])
    for name, words in CONTENDERS.items():
        shown.add_row(words, f"{statistics.median(found.rates[name]):,.0f}", f"{found.ratio(name):.0%}")
    return shown


def as_dict(found: Framing) -> dict[str, Any]:
    rates = {name: [round(rate) for rate in item] for name, item in found.rates.items()}
    return {**rates, "ratio": round(found.ratio("confluent"), 2), "other_ratio": round(found.ratio("other-writer"), 2)}


def targets(found: Framing) -> list[Target]:
    ratio = found.ratio("confluent")
    return [Target("Confluent's framing, of single-object", f"{ratio:.0%}", f"{WANTED:.0%} or more", ratio >= WANTED)]
