"""The benchmarks, on a real Kafka and a real PostgreSQL of their own: python -m tests.bench [--help]

Absolute numbers drift from machine to machine and from minute to minute; ratios within one run are what to look at.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from typing import Any

from rich.console import Console

from . import freshness, memory, poison, speed
from .place import Place, a_place
from .targets import Target, show_targets

JOBS = 20_000
OTHERS = {"producer": "producer_bench", "store": "store_bench"}
ON_THE_PLACE = ("speed", "poison", "freshness", "memory")
SECTIONS = (*ON_THE_PLACE, *OTHERS)


def main() -> int:
    parser = _parser()
    options = parser.parse_args()
    if unknown := set(options.section) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 140, highlight=False)
    wanted = options.section or ["speed", "poison", "freshness", *(["memory"] if options.long else [])]
    found: dict[str, Any] = {}
    targets: list[Target] = []
    if set(ON_THE_PLACE) & set(wanted):
        with a_place() as place:
            for section in ON_THE_PLACE:
                if section in wanted:
                    found[section], reached = SECTION[section](place, options, console)
                    targets += reached
        console.print(show_targets(targets))
    for section in OTHERS:
        if section in wanted:
            importlib.import_module(f".{OTHERS[section]}", __package__).main()
    if options.json:
        print(json.dumps({**found, "targets": [target._asdict() for target in targets]}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "section",
        nargs="*",
        metavar="SECTION",
        help=f"of {', '.join(SECTIONS)}; speed, poison and freshness if none is given",
    )
    parser.add_argument("--quick", action="store_true", help="a fifth of the events, one round")
    parser.add_argument("--long", action="store_true", help="also memory: a backlog of 1,000,000 events")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, the rest to stderr")
    return parser


def _speed(place: Place, options: argparse.Namespace, console: Console) -> tuple[Any, list[Target]]:
    events, rounds = (20_000, 1) if options.quick else (100_000, options.rounds)
    place.make_topic("speed")
    place.fill("speed", events, JOBS)
    found = speed.measure(place, "speed", events, rounds, console.print)
    console.print(speed.table(found, events, JOBS))
    return found.as_dict(), [
        Target("batch 50, times the plain loop", f"{found.ratio('plain', 50):.2f}", "1.5 or more",
               found.ratio("plain", 50) >= 1.5),
        Target("batch 500, times the plain loop", f"{found.ratio('plain', 500):.2f}", "1.5 or more",
               found.ratio("plain", 500) >= 1.5),
        Target("batch 50, of the bare loop", f"{found.ratio('bare', 50):.0%}", "45 % or more",
               found.ratio("bare", 50) >= 0.45),
        Target("batch 50, write transactions for 1,000 events", f"{found.transactions('ours', 50):.1f}", "20",
               found.transactions("ours", 50) < 20.5),
    ]  # fmt: skip


def _poison(place: Place, options: argparse.Namespace, console: Console) -> tuple[Any, list[Target]]:
    events, rounds = (20_000, 1) if options.quick else (100_000, options.rounds)
    found = poison.measure(place, events, JOBS, rounds, console.print)
    console.print(poison.table(found, events))
    return poison.as_dict(found), poison.targets(found)


def _freshness(place: Place, options: argparse.Namespace, console: Console) -> tuple[Any, list[Target]]:
    seconds = 4.0 if options.quick else 12.0
    place.make_topic("freshness")
    found = freshness.measure(place, seconds)
    console.print(freshness.table(found))
    return freshness.as_dict(found), freshness.targets(found)


def _memory(place: Place, options: argparse.Namespace, console: Console) -> tuple[Any, list[Target]]:
    events = 200_000 if options.quick else 1_000_000
    found = memory.measure(place, events, JOBS)
    console.print(memory.table(found, events))
    return memory.as_dict(found, events), memory.targets(found)


SECTION = {"speed": _speed, "poison": _poison, "freshness": _freshness, "memory": _memory}

if __name__ == "__main__":
    sys.exit(main())
