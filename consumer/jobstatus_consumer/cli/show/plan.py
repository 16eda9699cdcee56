"""What `jobstatus plan` prints."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from jobstatus_consumer.capacity import FILLED, LEAST_CONSUMERS, MOST_CORES, MOST_WAL, Change, Demand, Sizing
from jobstatus_consumer.cli.show.screen import COLUMNS, plain_console, print_fitted
from jobstatus_consumer.words import counted

NAMES: Final = 18
"""Columns of the names."""


def show(demand: Demand, sizing: Sizing, changes: Sequence[Change], *, as_json: bool) -> None:
    """Print the plan for a person, or as one JSON document."""
    if as_json:
        click.echo(json.dumps(as_dict(demand, sizing, changes)))
        return
    console = plain_console(width=COLUMNS)
    for line in lines(demand, sizing):
        console.print(line)
    console.print()
    for line in advice(sizing, changes):
        print_fitted(console, line)


def as_dict(demand: Demand, sizing: Sizing, changes: Sequence[Change]) -> dict[str, Any]:
    """The plan as JSON."""
    work = demand.work
    return {
        "asked": {
            "events_per_second": demand.events_per_second,
            "round_trip_ms": work.trip_ms,
            "batch_max_events": work.batch,
            "batches_in_flight": work.window,
            "batch_linger_seconds": demand.linger_seconds,
            "row_bytes": work.row_bytes,
            "own_table": work.own_table,
        },
        "consumers": sizing.consumers,
        "events_per_second_of_a_consumer": round(sizing.of_one),
        "partitions": sizing.partitions,
        "connections": sizing.connections,
        "consumer_cores": round(sizing.consumer_cores, 3),
        "megabytes_of_a_consumer": round(sizing.megabytes),
        "events_in_a_batch": round(sizing.batch, 1),
        "databases": sizing.databases,
        "commits_per_second": round(sizing.commits_per_second, 1),
        "postgres_cores": round(sizing.postgres_cores, 3),
        "wal_bytes_per_second": round(sizing.wal_bytes_per_second),
        "limit": sizing.limit,
        "batch_milliseconds": {
            "whole": round(sizing.cycle_ms, 3),
            "consumer_cpu": round(sizing.times.cpu / 1000, 3),
            "write_without_round_trip": round(sizing.times.turn / 1000, 3),
            "round_trip": work.trip_ms,
        },
        "changes": [change._asdict() for change in changes],
    }


def lines(demand: Demand, sizing: Sizing) -> Iterator[str]:
    """The numbers, each with what it means."""
    yield f"{demand.events_per_second:,.10g} events/s, round trip {demand.work.trip_ms:g} ms, {_settings(demand)}"
    yield ""
    each = sizing.consumer_cores / sizing.consumers
    yield _line("consumers", sizing.consumers, f"{sizing.of_one:,.0f} events/s each at most, {FILLED:.0%} planned")
    yield _line("partitions", sizing.partitions, "enough for twice as many consumers")
    yield _line("connections", sizing.connections, "to PostgreSQL: the consumers, and one for metrics")
    yield _line("CPU", f"{sizing.consumer_cores:.2f}", f"cores at work in all consumers, {each:.2f} in each")
    all_of_them = sizing.megabytes * sizing.consumers / 1000
    yield _line("memory", f"{sizing.megabytes:.0f} MB", f"for each consumer, {all_of_them:.1f} GB in all")
    yield ""
    yield _line("PostgreSQL", sizing.databases, "server" if sizing.databases == 1 else "servers; see docs/scale.md")
    yield _line("  commits/s", f"{sizing.commits_per_second:,.0f}", f"of {_events(sizing.batch)} each")
    cores = math.ceil(sizing.postgres_cores / FILLED)
    yield _line("  CPU", f"{sizing.postgres_cores:.2f}", f"cores at work; give it {counted(cores, 'core')} for this")
    yield _line("  WAL", f"{sizing.wal_bytes_per_second / 1e6:,.1f} MB/s", "to the disk, to standbys and archives")


def advice(sizing: Sizing, changes: Sequence[Change]) -> Iterator[str]:
    """What is the limit, and what to change."""
    times = sizing.times
    yield (
        f"Limit of a consumer: {sizing.limit}. A full batch takes {sizing.cycle_ms:.1f} ms:"
        f" {times.cpu / 1000:.1f} ms of the consumer's CPU beside {times.database / 1000:.1f} ms until the database has"
        " it."
    )
    if sizing.consumers == LEAST_CONSUMERS:
        yield "One consumer can write it all; the second one takes over where the first one stops."
    for change in changes:
        yield f"With {change.option} {change.value:g}: {counted(change.consumers, 'consumer')}."
    if sizing.databases > 1:
        yield (
            f"One PostgreSQL is planned for {MOST_CORES * FILLED:.0f} cores at work and"
            f" {MOST_WAL / 1e6:.0f} MB/s of WAL. docs/scale.md says how to use several."
        )


def _settings(demand: Demand) -> str:
    work = demand.work
    own = ", own table" if work.own_table else ""
    return f"batch {work.batch:g}, {work.window} in flight{own}"


def _line(name: str, value: object, meaning: str) -> str:
    shown = f"{value:,}" if isinstance(value, int) else str(value)
    return f"{name:<{NAMES}}{shown:>10}  {meaning}"


def _events(number: float) -> str:
    return counted(round(number), "event")
