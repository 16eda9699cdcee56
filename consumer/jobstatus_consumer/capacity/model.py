"""How many events a second consumers write: a model, and a formula for each of its steps. Pure.

For a batch of B events, W batches in flight and a round trip R to the database, all times of one batch:

    cpu    = c0 + c1 B                    the consumer's CPU; in a process one thread works at a time
    server = commit + s0 + s1 B           what PostgreSQL alone does for the batch
    turn   = commit + t0 + t1 B           what the writer and PostgreSQL do for it, one after the other
    wait   = (k turn + R) / W             its share of the time until the answer, with W batches on their way
    cycle  = bend(cpu, max(server, wait)) the time between two batches of one consumer
    rate   = B / cycle                    the events a second of one consumer

    bend(a, b) = (a^p + b^p)^(1/p)        the larger one, and a little more where both are alike

`bend` is there because two limits that are alike hold each other up. k is 1 with one batch in flight, and more with
several, which are made and answered in between.

Consumers have partitions, and so rows, of their own, so n of them write n times as much. If they share cores with the
broker and PostgreSQL, each batch waits for those that came before it, as in a queue:

    work     = CPU of a batch / (cores - n idle)
    rest     = cycle - work
    time(i)  = work (1 + queue(i-1) + burst busy(i-1))  of a batch of one of i consumers, at the cores
    queue(i) = i time(i) / (time(i) + rest)             batches at the cores; none with no consumer
    busy(i)  = i work / (time(i) + rest)                the share of the cores' time that is used
    rate of n = n B / (time(n) + rest)

That is mean value analysis (Reiser and Lavenberg, 1980), with several cores as one quick one and a fixed rest
(Seidmann, Schweitzer and Shalev-Oren, 1987). `burst` is the wait for what is being worked on: the work comes in pieces
of different sizes, and the one that is met is more often a large one. `idle` is what a consumer, its session and its
connections take of the cores by themselves, whatever they write.

The cost of an event grows by a constant for each kilobyte of its row. A table of the user's own multiplies each cost.
WAL is c0 + c1 B as well, in bytes.

The constants are fitted by `tests/bench/scale/fit.py` and written to `measured.py` beside this file, which names the
measurement of each.
"""

from __future__ import annotations

from typing import Final, NamedTuple

MICROS: Final = 1_000_000
KILOBYTE: Final = 1000
LEAST_FREE: Final = 0.05
"""Cores that are left where there are too many consumers for them: never none, so that the formula has a value."""
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
    """how many times as much with several batches in flight; of `turn` only the wait is longer"""
    idle: float = 0.0
    """cores that one consumer takes whatever it writes"""

    def of(self, work: Work) -> float:
        """Return the cost of one batch."""
        more = max(0.0, work.row_bytes - USUAL_ROW_BYTES) / KILOBYTE
        one = self.event + more * self.kilobyte
        return (self.batch + work.batch * one) * (self.own_table if work.own_table else 1.0) * self.times(work)

    def times(self, work: Work) -> float:
        """Return how many times as much it costs with so many batches in flight."""
        return self.in_flight if work.window > 1 else 1.0


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
    burst: float = 0.0
    """how much of a batch's work the next one waits for besides, where the cores are always busy"""

    @property
    def processes(self) -> tuple[Cost, Cost, Cost]:
        """Those that use CPU."""
        return self.consumer, self.postgres, self.broker


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
    """The times of one batch, in microseconds. The largest one but `turn`, which is part of `wait`, is the limit."""

    cpu: float
    server: float
    turn: float
    wait: float

    def micros(self, exponent: float) -> float:
        """Return the time between two batches."""
        return bend(exponent, self.cpu, self.database)

    @property
    def database(self) -> float:
        """What a batch waits for: the server's own work, or its share of the whole wait."""
        return max(self.server, self.wait)


def bend(exponent: float, one: float, other: float) -> float:
    """Return the larger value, and a little more where the other one is nearly as large."""
    less, more = sorted((one, other))
    return more * (1 + (less / more) ** exponent) ** (1 / exponent) if more else 0.0


def cycle(work: Work, costs: Costs) -> Cycle:
    """Return the times of one batch."""
    turn = costs.commit_micros + costs.turn.of(work._replace(window=1))
    wait = turn * costs.turn.times(work) + 1000 * work.trip_ms
    return Cycle(costs.consumer.of(work), costs.commit_micros + costs.postgres.of(work), turn, wait / work.window)


def rate(work: Work, costs: Costs) -> float:
    """Return the events a second of one consumer that has a core of its own."""
    return work.batch / cycle(work, costs).micros(costs.bend) * MICROS


def shared_rate(work: Work, costs: Costs, consumers: int, cores: float, beside: float = 0.0) -> float:
    """Return the events a second of several consumers that share `cores` with the broker and PostgreSQL.

    `beside` is the CPU of anything else that is at work for an event, in microseconds.
    """
    free = max(LEAST_FREE, cores - consumers * sum(cost.idle for cost in costs.processes))
    at_work = work.batch * (cpu_of_an_event(work, costs) + beside) / free
    rest = max(0.0, cycle(work, costs).micros(costs.bend) - at_work)
    queue = busy = whole = 0.0
    for number in range(1, consumers + 1):
        time = at_work * (1 + queue + costs.burst * busy)
        whole = time + rest
        queue, busy = number * time / whole, number * at_work / whole
    return consumers * work.batch / whole * MICROS


def cpu_of_an_event(work: Work, costs: Costs) -> float:
    """Return the microseconds of CPU of one event, of the consumer, PostgreSQL and the broker together."""
    return sum(cost.of(work) for cost in costs.processes) / work.batch
