"""How many events a second consumers write: a model, and a formula for each of its steps. Pure.

For a batch of B events, W batches in flight and a round trip R to the database, all times of one batch:

    cpu   = c0 + c1 B                   the consumer's CPU; in a process one thread works at a time
    turn  = commit + t0 + t1 B          what the writer and PostgreSQL do for the batch, one after the other
    wait  = (turn + R) / W              its share of the time until the answer, with W batches on their way
    cycle = bend(cpu, max(turn, wait))  the time between two batches of one consumer
    rate  = B / cycle                   the events a second of one consumer

Consumers have partitions, and so rows, of their own, so n of them write n times as much. If they share cores with the
broker and PostgreSQL, the CPU of one event, of all of them together, is the other limit:

    rate of n = 1 / bend(1 / (n rate), CPU of an event / cores)

    bend(a, b) = (a^p + b^p)^(1/p)      the larger one, and a little more where both are alike

`bend` is there because two limits that are alike hold each other up. The cost of an event grows by a constant for each
kilobyte of its row. A table of the user's own multiplies each cost; so do several batches in flight, where BEGIN and
COMMIT are messages of their own. WAL is c0 + c1 B as well, in bytes.

The constants are fitted by `tests/bench/scale/fit.py` and written to `measured.py` beside this file, which names the
measurement of each.
"""

from __future__ import annotations

from typing import Final, NamedTuple

MICROS: Final = 1_000_000
KILOBYTE: Final = 1000
USUAL_ROW_BYTES: Final = 100
"""The row size of the measurements from which the cost of an event comes."""


class Cost(NamedTuple):
    """What a batch costs: `batch`, `event` for each event, and `kilobyte` for each kilobyte of rows beyond usual."""

    batch: float
    event: float
    kilobyte: float = 0.0
    own_table: float = 1.0
    """how many times as much with a table of the user's own"""
    in_flight: float = 1.0
    """how many times as much with several batches in flight"""

    def of(self, work: Work) -> float:
        """Return the cost of one batch."""
        more = max(0.0, work.row_bytes - USUAL_ROW_BYTES) / KILOBYTE
        one = self.event + more * self.kilobyte
        times = (self.own_table if work.own_table else 1.0) * (self.in_flight if work.window > 1 else 1.0)
        return (self.batch + work.batch * one) * times


class Costs(NamedTuple):
    """The constants of the model. Costs are in microseconds of one batch, those of `wal` in bytes."""

    consumer: Cost
    """CPU of the consumer"""
    postgres: Cost
    """CPU of PostgreSQL"""
    broker: Cost
    """CPU of the broker, while it is read"""
    turn: Cost
    """the writer's time for a batch, without the commit and the round trip"""
    wal: Cost
    """bytes of WAL"""
    commit_micros: float
    """how long PostgreSQL waits for the disk at a commit"""
    bend: float
    """the exponent of `bend`"""
    megabytes: float
    """the most memory of a consumer with usual rows"""


class Work(NamedTuple):
    """What one consumer does: its settings, its distance from the database, and its rows."""

    batch: float = 50
    window: int = 1
    """batches in flight"""
    trip_ms: float = 0.0
    """the round trip to the database"""
    row_bytes: float = USUAL_ROW_BYTES
    own_table: bool = False


class Cycle(NamedTuple):
    """The three times of one batch, in microseconds. The largest one limits the consumer."""

    cpu: float
    turn: float
    wait: float

    def micros(self, exponent: float) -> float:
        """Return the time between two batches."""
        return bend(exponent, self.cpu, self.database)

    @property
    def database(self) -> float:
        """What a batch waits for, one after the other: its turn, or its share of the whole wait."""
        return max(self.turn, self.wait)


def bend(exponent: float, one: float, other: float) -> float:
    """Return the larger value, and a little more where the other one is nearly as large."""
    less, more = sorted((one, other))
    return more * (1 + (less / more) ** exponent) ** (1 / exponent) if more else 0.0


def cycle(work: Work, costs: Costs) -> Cycle:
    """Return the times of one batch."""
    turn = costs.commit_micros + costs.turn.of(work)
    return Cycle(costs.consumer.of(work), turn, (turn + 1000 * work.trip_ms) / work.window)


def rate(work: Work, costs: Costs) -> float:
    """Return the events a second of one consumer that has a core of its own."""
    return work.batch / cycle(work, costs).micros(costs.bend) * MICROS


def shared_rate(work: Work, costs: Costs, consumers: int, cores: float, beside: float = 0.0) -> float:
    """Return the events a second of several consumers that share `cores` with the broker and PostgreSQL.

    `beside` is the CPU of anything else that is at work for an event, in microseconds.
    """
    micros = cpu_of_an_event(work, costs) + beside
    one_by_one = 1 / (consumers * rate(work, costs))
    return 1 / bend(costs.bend, one_by_one, micros / MICROS / cores)


def cpu_of_an_event(work: Work, costs: Costs) -> float:
    """Return the microseconds of CPU of one event, of the consumer, PostgreSQL and the broker together."""
    return sum(cost.of(work) for cost in (costs.consumer, costs.postgres, costs.broker)) / work.batch
