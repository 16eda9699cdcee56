"""Restarting and upgrading consumers one by one under load, and what each event and each row then had to go through."""

from __future__ import annotations

import dataclasses
import os
import statistics
import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from confluent_kafka import Producer
from jobstatus_schemas import encode
from support.deployment import ConsumerProcess, Deployment, made_events
from support.waiting import until

LINGER: float = 2.0
"""The default of `JOBSTATUS_BATCH_LINGER_SECONDS`."""
WITHIN: float = LINGER + 3.0
"""No event may be later than this."""
STRICT = "JOBSTATUS_TESTS_STRICT_LATENESS"
"""Set by `make upgrade`: on a machine that does nothing else, the bound holds as it is."""

RECORDING = """
CREATE TABLE seen_progress (log_id text, next_offset bigint, at timestamptz);
CREATE TABLE seen_rows (job_id text, log_id text, log_offset bigint);
CREATE FUNCTION note_progress() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO {schema}.seen_progress VALUES (NEW.log_id, NEW.next_offset, clock_timestamp()); RETURN NULL; END $$;
CREATE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO {schema}.seen_rows VALUES (NEW.job_id, NEW.log_id, NEW.log_offset); RETURN NULL; END $$;
CREATE TRIGGER seen AFTER INSERT OR UPDATE ON {table}_progress FOR EACH ROW EXECUTE FUNCTION note_progress();
CREATE TRIGGER seen AFTER INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION note_row();
"""


def record(deployed: Deployment) -> None:
    """Have the database note when it got how far, and every change of a row."""
    deployed.query(RECORDING.format(table=deployed.table, schema="public"))


class Lateness(NamedTuple):
    """How long events waited from the broker's append to the commit of their row, in seconds."""

    events: int
    median: float
    latest: float

    def __str__(self) -> str:
        return f"{self.events:,} events, median {self.median:.2f} s, latest {self.latest:.2f} s"


def lateness(deployed: Deployment, since: float, until_: float) -> Lateness:
    """Of the events that were appended between these times (seconds since 1970).

    An event is written when the database first knows a next offset beyond it: rows and progress are one statement.
    """
    known: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for log_id, offset, at in deployed.query(
        "SELECT log_id, next_offset, extract(epoch FROM at)::float8 FROM seen_progress ORDER BY at"
    ):
        steps = known[log_id]
        if not steps or offset > steps[-1][0]:
            steps.append((offset, at))
    waits = [
        known[raw.log_id][bisect_right(known[raw.log_id], (raw.offset, float("inf")))][1] - raw.timestamp / 1000
        for raw in deployed.records()
        if since <= raw.timestamp / 1000 < until_
    ]
    return Lateness(len(waits), statistics.median(waits), max(waits))


def hold_lateness(name: str, alone: Lateness, changed: Lateness, within: float = WITHIN) -> None:
    """Print both, and fail if an event was later than `within` while consumers were replaced.

    A machine that is busy with other programs makes every event late; `alone`, the time before, says by how much.
    """
    print(f"\nundisturbed: {alone}\n{name}: {changed}")
    slowness = 1.0 if os.environ.get(STRICT) else max(1.0, alone.latest / (LINGER + 0.5))
    assert changed.latest <= within * slowness


def repeated_changes(deployed: Deployment) -> list[tuple[object, ...]]:
    """The events that changed a row more than once."""
    return deployed.query(
        "SELECT job_id, log_id, log_offset, count(*) FROM seen_rows GROUP BY 1, 2, 3 HAVING count(*) > 1"
    )


@dataclass
class Load:
    """Events at a steady rate, from a thread of the test."""

    deployed: Deployment
    rate: int
    jobs: int = 300
    sent: int = 0
    largest_pause: float = 0.0
    """the longest that this thread had to wait beyond its own sleep: what the machine itself delays"""
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        producer = Producer({"bootstrap.servers": self.deployed.bootstrap, "partitioner": "murmur2_random"})
        every = 0.05
        while not self._stop.is_set():
            for event in made_events(int(self.rate * every), self.jobs, seed=self.sent):
                producer.produce(self.deployed.topic, key=event.job_id, value=encode(event))
                self.sent += 1
            producer.poll(0)
            before = time.monotonic()
            self._stop.wait(every)
            self.largest_pause = max(self.largest_pause, time.monotonic() - before - every)
        assert producer.flush(60) == 0


@contextmanager
def load(deployed: Deployment, rate: int = 200) -> Iterator[Load]:
    """Load for the block; everything is acknowledged afterwards."""
    found = Load(deployed, rate)
    thread = threading.Thread(target=found.run)
    thread.start()
    try:
        yield found
    finally:
        found._stop.set()
        thread.join(90)
    assert not thread.is_alive()


def with_variables(deployed: Deployment, variables: Mapping[str, str]) -> Deployment:
    """The same deployment for processes that also have these variables; its consumers end with the others."""
    return dataclasses.replace(deployed, more={**deployed.more, **variables})


def members(deployed: Deployment, count: int) -> list[ConsumerProcess]:
    """So many consumers, all of which have partitions."""
    found = [deployed.consumer() for _ in range(count)]
    for consumer in found:
        consumer.says("got partitions")
    return found


def replace(consumers: list[ConsumerProcess], deployed: Deployment) -> list[ConsumerProcess]:
    """Replace each consumer in turn by one of `deployed`: SIGTERM, its end, a new one, and that one has partitions."""
    replaced = []
    for consumer in consumers:
        assert consumer.stop() == 0, consumer.text()[-2000:]
        new = deployed.consumer()
        new.says("got partitions")
        replaced.append(new)
    return replaced


def running(seconds: float, found: Load) -> tuple[float, float]:
    """Let the load run for some seconds: the time from which and until which, in seconds since 1970."""
    start, sent = time.time(), found.sent
    until(lambda: time.time() - start >= seconds and found.sent > sent, "the load runs", 60 + seconds)
    return start, time.time()
