"""A backlog with 1 % poison beside the same one without: what isolation and dead letters cost."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from confluent_kafka import Consumer, TopicPartition
from rich.table import Table

from .place import Place
from .tables import plain_table
from .targets import Target

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.poison import CONSTRAINTS, KINDS, mixture

BATCH = 50
SHARES = {"clean": 0.0, "poison": 0.01}
WANTED = 0.4


class Poison(NamedTuple):
    """Events a second of each round, and how many dead letters the poisoned rounds left in all."""

    rates: dict[str, list[float]]
    dead_letters: int
    poison: int

    @property
    def ratio(self) -> float:
        """How fast with poison, of without: the median of the rounds' own ratios."""
        pairs = zip(self.rates["poison"], self.rates["clean"], strict=True)
        return statistics.median(poisoned / clean for poisoned, clean in pairs)


def measure(place: Place, events: int, jobs: int, rounds: int, say: Callable[[str], None]) -> Poison:
    for name, share in SHARES.items():
        place.make_topic(name)
        place.produce(name, (record[:2] for _, record in mixture(events, jobs, share)))
    rates: dict[str, list[float]] = {name: [] for name in SHARES}
    for number in range(rounds):
        for name in SHARES:
            found = place.run("ours", name, events, BATCH, prepare=_constrain).run
            rates[name].append(found.events_per_second)
            say(f"  round {number + 1}: {name}: {found.events_per_second:,.0f} events/s")
    return Poison(rates, _count(place, "poison.dlq"), round(events * SHARES["poison"]) * rounds)


def _constrain(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in CONSTRAINTS:
            connection.execute(statement.encode())


def _count(place: Place, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": place.stack.kafka.bootstrap_servers, "group.id": "count"})
    try:
        return int(consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)[1])
    finally:
        consumer.close()


def table(found: Poison, events: int) -> Table:
    title = f"{events:,} events at batch {BATCH}; median of {len(found.rates['clean'])}"
    shown = plain_table(title, ["backlog"], ["events/s", "of clean", "dead letters", "of poison"])
    shown.add_row("clean", f"{statistics.median(found.rates['clean']):,.0f}")
    shown.add_row(
        f"1 % poison ({', '.join(KINDS)})",
        f"{statistics.median(found.rates['poison']):,.0f}",
        f"{found.ratio:.0%}",
        f"{found.dead_letters:,}",
        f"{found.poison:,}",
    )
    return shown


def as_dict(found: Poison) -> dict[str, Any]:
    rates = {name: [round(rate) for rate in item] for name, item in found.rates.items()}
    return {**rates, "ratio": round(found.ratio, 2), "dead_letters": found.dead_letters, "poison": found.poison}


def targets(found: Poison) -> list[Target]:
    return [
        Target("1 % poison, of the clean run", f"{found.ratio:.0%}", f"{WANTED:.0%} or more", found.ratio >= WANTED),
        Target(
            "dead letters, of the poison",
            f"{found.dead_letters:,}",
            f"{found.poison:,}",
            found.dead_letters == found.poison,
        ),
    ]
