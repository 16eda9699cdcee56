"""How many consumers, partitions and databases a rate of events needs, by the model of `model.py`. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from jobstatus_consumer.capacity.model import MICROS, USUAL_ROW_BYTES, Costs, Cycle, Work, cycle, rate
from jobstatus_consumer.config import USUAL_PARTITIONS

FILLED: Final = 0.7
"""The share of its limit for which a part is planned: the rest is for peaks, and for what came up during a stop."""
LEAST_CONSUMERS: Final = 2
"""One more takes over at once where a consumer stops."""
PARTITIONS_FOR_ONE: Final = 2
"""Partitions for each consumer, so that there may be twice as many: with more partitions later, jobs would move."""
MOST_CORES: Final = 32
"""Cores of one PostgreSQL server. An assumption and not measured: larger servers exist, and fewer places have them."""
MOST_WAL: Final = 200_000_000
"""Bytes of WAL a second of one server. An assumption: a standby replays WAL in one process, which must keep up."""
QUEUED_BYTES: Final = 16_384 * 1024
"""The values that the Kafka client keeps ready at most: `queued.max.messages.kbytes`."""
QUEUED_EVENTS: Final = 20_000
"""How many events it keeps ready at most: `queued.min.messages`."""
COPIES: Final = 3
"""A record in a batch exists as bytes, as an event and as a parameter."""

WINDOWS: Final = (2, 4)
BATCHES: Final = (50, 200, 500)
NEARBY_MS: Final = 0.5
"""A round trip within one data centre."""

Limit = Literal["the round trip", "the time of the database", "the CPU of a consumer"]


class Demand(NamedTuple):
    """What is asked for."""

    events_per_second: float
    work: Work
    linger_seconds: float = 2.0


class Sizing(NamedTuple):
    """What that needs. CPU is what is at work at this rate; a server needs more cores than that, by `FILLED`."""

    batch: float
    """events in a batch: fewer than the setting where it does not fill within the linger"""
    of_one: float
    """the events a second that one consumer can write with full batches"""
    times: Cycle
    """of one full batch"""
    cycle_ms: float
    """between two full batches of one consumer that is at its limit"""
    limit: Limit
    consumers: int
    partitions: int
    consumer_cores: float
    """of all consumers"""
    megabytes: float
    """of one consumer"""
    databases: int
    commits_per_second: float
    postgres_cores: float
    wal_bytes_per_second: float

    @property
    def connections(self) -> int:
        """Sessions of PostgreSQL: one for each consumer, and a second one of that with partition 0, for the metrics."""
        return self.consumers + 1


class Change(NamedTuple):
    """An option with another value, and how many consumers there would be."""

    option: str
    value: float
    consumers: int


def plan(demand: Demand, costs: Costs) -> Sizing:
    """Return what the demand needs."""
    wanted, work = demand.events_per_second, demand.work
    of_one, times = rate(work, costs), cycle(work, costs)
    consumers = max(LEAST_CONSUMERS, math.ceil(wanted / (FILLED * of_one)))
    filled = min(work.batch, max(1.0, wanted / consumers * demand.linger_seconds))
    real, batches = work._replace(batch=filled), wanted / filled
    postgres = costs.postgres.of(real) * batches / MICROS + consumers * costs.postgres.idle
    wal = costs.wal.of(real) * batches
    return Sizing(
        batch=filled,
        of_one=of_one,
        times=times,
        cycle_ms=times.micros(costs.bend) / 1000,
        limit=limit_of(times, work),
        consumers=consumers,
        partitions=max(USUAL_PARTITIONS, PARTITIONS_FOR_ONE * consumers),
        consumer_cores=costs.consumer.of(real) * batches / MICROS + consumers * costs.consumer.idle,
        megabytes=costs.megabytes + _row_megabytes(work),
        databases=max(1, math.ceil(postgres / (FILLED * MOST_CORES)), math.ceil(wal / MOST_WAL)),
        commits_per_second=batches,
        postgres_cores=postgres,
        wal_bytes_per_second=wal,
    )


def limit_of(times: Cycle, work: Work) -> Limit:
    """Return what a consumer that is at its limit waits for."""
    if times.cpu >= times.database:
        return "the CPU of a consumer"
    is_far = 1000 * work.trip_ms > times.turn and times.wait >= times.server
    return "the round trip" if is_far else "the time of the database"


def changes(demand: Demand, costs: Costs) -> list[Change]:
    """Return the options that would save consumers, the one that saves most first, each with the least value for it."""
    now = plan(demand, costs).consumers
    found: dict[str, Change] = {}
    for option, value, work in _others(demand.work):
        consumers = plan(demand._replace(work=work), costs).consumers
        if consumers < found.get(option, Change(option, value, now)).consumers:
            found[option] = Change(option, value, consumers)
    return sorted(found.values(), key=lambda change: change.consumers)


def _others(work: Work) -> Iterator[tuple[str, float, Work]]:
    """Other values of each option, and the work with it."""
    for window in WINDOWS:
        if window > work.window:
            yield "--batches-in-flight", window, work._replace(window=window)
    for batch in BATCHES:
        if batch > work.batch:
            yield "--batch-max-events", batch, work._replace(batch=batch)
    if work.trip_ms > NEARBY_MS:
        yield "--round-trip-ms", NEARBY_MS, work._replace(trip_ms=NEARBY_MS)


def _row_megabytes(work: Work) -> float:
    """What larger rows add: in the Kafka client's queue, and in the batches that are filled or on their way."""
    more = max(0.0, work.row_bytes - USUAL_ROW_BYTES)
    queued = min(QUEUED_BYTES, QUEUED_EVENTS * more)
    return (queued + COPIES * more * work.batch * (work.window + 1)) / MICROS
