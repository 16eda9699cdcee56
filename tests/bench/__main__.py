"""The benchmarks, on a real Kafka and a real PostgreSQL of their own: python -m tests.bench [--help]

Absolute numbers drift from machine to machine and from minute to minute; ratios within one run are what to look at.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from . import (
    away,
    calls,
    compiled,
    console_pages,
    firsts,
    framing,
    freshness,
    in_flight,
    memory,
    own,
    poison,
    replay,
    scale,
    speed,
    start,
    store,
    waits,
)
from .place import Place, a_place
from .scale import renew
from .targets import Target, show_targets

JOBS: Final = 20_000
Measured = tuple[Any, list[Target]]
"""What goes into the JSON document, and the targets that belong to it."""


def main() -> int:
    """Run the wanted sections, and print each one's table and all targets."""
    parser = _parser()
    options = parser.parse_args()
    if unknown := set(options.section) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 140, highlight=False)
    wanted = options.section or [*USUAL, *(LONG if options.long else [])]
    found: dict[str, Any] = {}
    targets: list[Target] = []
    with a_place() as place:
        for section in SECTIONS:
            if section in wanted:
                console.print(f"\n[bold]{section}[/]")
                found[section], reached = SECTIONS[section](place, options, console)
                targets += reached
    console.print("\n", show_targets(targets))
    if options.json:
        print(json.dumps({**found, "targets": [target._asdict() for target in targets]}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "section",
        nargs="*",
        metavar="SECTION",
        help=f"of {', '.join(SECTIONS)}; if none is given: {', '.join(USUAL)}",
    )
    parser.add_argument("--quick", action="store_true", help="a fifth of the events, one round")
    parser.add_argument("--long", action="store_true", help=f"also {', '.join(LONG)}; scale with 50,000,000 rows")
    parser.add_argument("--part", action="append", choices=scale.NAMES, help="of scale, repeatable; default: all")
    parser.add_argument("--renew", action="store_true", help="with scale: write its constants and docs/scale.md")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=1_000_000, metavar="EVENTS", help="the backlog of memory")
    parser.add_argument("--away", type=float, default=60.0, metavar="SECONDS", help="how long brokers are away")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="an earlier checkout, for compiled")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, the rest to stderr")
    return parser


def _size(options: argparse.Namespace) -> tuple[int, int]:
    """Events and rounds."""
    return (20_000, 1) if options.quick else (100_000, options.rounds)


def _speed(place: Place, options: argparse.Namespace, console: Console) -> Measured:
    events, rounds = _size(options)
    place.make_topic("speed")
    place.fill("speed", events, JOBS)
    found = speed.measure(place, "speed", events, rounds, console.print)
    console.print(speed.table(found, events, JOBS))
    return found.as_dict(), speed.targets(found)


def _compiled(place: Place, options: argparse.Namespace, console: Console) -> Measured:
    events, rounds = _size(options)
    backlogs = {size: compiled.Backlog(f"compiled-{size}", times * events) for size, times in compiled.SIZES.items()}
    for topic, count in backlogs.values():
        place.make_topic(topic)
        place.fill(topic, count, JOBS)
    before = None if options.before is None else options.before.resolve()
    found = compiled.measure(place, backlogs, rounds, before, console.print)
    console.print(compiled.table(found, events))
    return compiled.as_dict(found), compiled.targets(found)


def _own(place: Place, options: argparse.Namespace, console: Console) -> Measured:
    events, rounds = _size(options)
    place.make_topic("own")
    place.fill("own", events, JOBS)
    found = own.measure(place, "own", events, JOBS, rounds, console.print)
    console.print(own.table(found, events, JOBS))
    return own.as_dict(found), own.targets(found)


def _window(place: Place, options: argparse.Namespace, console: Console) -> Measured:
    events, rounds = _size(options)
    for topic, size in in_flight.topics(events).items():
        place.make_topic(topic)
        place.fill(topic, size, JOBS)
    found = in_flight.measure(place, events, rounds, console.print)
    console.print(in_flight.table(found, events))
    return in_flight.as_dict(found), in_flight.targets(found)


def _poison(place: Place, options: argparse.Namespace, console: Console) -> Measured:
    events, rounds = _size(options)
    found = poison.measure(place, events, JOBS, rounds, console.print)
    console.print(poison.table(found, events))
    return poison.as_dict(found), poison.targets(found)


def _framing(place: Place, options: argparse.Namespace, console: Console) -> Measured:
    events, rounds = _size(options)
    found = framing.measure(place, events, JOBS, rounds, console.print)
    console.print(framing.table(found, events))
    return framing.as_dict(found), framing.targets(found)


def _freshness(place: Place, options: argparse.Namespace, console: Console) -> Measured:
    seconds, rounds = (3.0, 1) if options.quick else (6.0, options.rounds)
    found = freshness.measure(place, seconds, rounds, console.print)
    console.print(freshness.table(found))
    return freshness.as_dict(found), freshness.targets(found)


def _replay(place: Place, options: argparse.Namespace, console: Console) -> Measured:
    events, rounds = _size(options)
    place.make_topic("replayed")
    place.fill("replayed", events, JOBS)
    found = replay.measure(place, "replayed", events, rounds, console.print)
    console.print(replay.table(found, events, JOBS))
    return replay.as_dict(found), replay.targets(found)


def _calls(place: Place, options: argparse.Namespace, console: Console) -> Measured:
    place.make_topic("calls")
    found = calls.measure(place, "calls", *((20_000, 1) if options.quick else (100_000, 5)))
    console.print(calls.table(found))
    return calls.as_dict(found), calls.targets(found)


def _start(place: Place, options: argparse.Namespace, console: Console) -> Measured:
    place.make_topic("start")
    found = start.measure(place, "start", 3 if options.quick else 9)
    console.print(start.table(found))
    return start.as_dict(found), start.targets(found)


def _firsts(place: Place, _options: argparse.Namespace, console: Console) -> Measured:
    place.make_topic("firsts")
    found = firsts.measure(place, "firsts")
    console.print(firsts.table(found))
    return firsts.as_dict(found), firsts.targets(found)


def _memory(place: Place, options: argparse.Namespace, console: Console) -> Measured:
    events = 200_000 if options.quick else options.many
    found = memory.measure(place, events, JOBS)
    console.print(memory.table(found, events))
    return memory.as_dict(found, events), memory.targets(found)


def _away(_place: Place, options: argparse.Namespace, console: Console) -> Measured:
    # the updates of a minute, at the same rate
    found = away.measure(options.away, round(options.away * 50_000 / 60))
    console.print(away.table(found))
    return away.as_dict(found), away.targets(found)


def _console(place: Place, _options: argparse.Namespace, console: Console) -> Measured:
    place.make_topic("console")
    found = console_pages.measure(place, "console")
    console.print(console_pages.table(found))
    return found, console_pages.targets(found)


def _waits(place: Place, options: argparse.Namespace, console: Console) -> Measured:
    events, rounds = _size(options)
    # a drain of seconds: beside shorter ones the console's questions, one or more seconds apart, come or do not
    events *= 4
    place.make_topic("waits")
    place.fill("waits", events, JOBS)
    found = waits.measure(place, "waits", events, rounds, console.print)
    console.print(waits.table(found))
    return waits.as_dict(found), waits.targets(found)


def _store(place: Place, options: argparse.Namespace, console: Console) -> Measured:
    with place.database() as url:
        found = store.measure(url, 1 if options.quick else 5)
    console.print(store.table(found))
    return store.as_dict(found), []


def _scale(place: Place, options: argparse.Namespace, console: Console) -> Measured:
    rounds = 1 if options.quick else options.rounds
    parts = options.part or scale.NAMES
    found = scale.measure(place, parts, rounds, quick=options.quick, many=options.long, say=console.print)
    scale.show(found, console)
    if options.renew:
        renew.save(found)
    return found.as_dict(), scale.targets(found)


Section = Callable[[Place, argparse.Namespace, Console], Measured]
SECTIONS: Final[dict[str, Section]] = {
    "speed": _speed,
    "own": _own,
    "poison": _poison,
    "framing": _framing,
    "freshness": _freshness,
    "replay": _replay,
    "calls": _calls,
    "firsts": _firsts,
    "start": _start,
    "memory": _memory,
    "away": _away,
    "console": _console,
    "store": _store,
    "waits": _waits,
    "window": _window,
    "scale": _scale,
    "compiled": _compiled,
}
USUAL: Final = ("speed", "own", "poison", "freshness", "replay", "calls", "firsts", "start")
LONG: Final = ("memory", "away", "store", "console", "waits", "framing", "window", "compiled")

if __name__ == "__main__":
    sys.exit(main())
