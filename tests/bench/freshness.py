"""How long it takes from the producer's call to the row, at 200 events a second.

The call's time is taken before the call. A row counts as there when a connection of the benchmark's own sees the
progress table, written in the same transaction, at or past the event's offset; it looks every 2 ms, so that a time
comes out up to that much too high, never too low. Both by this machine's one clock.
"""

from __future__ import annotations

import bisect
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from confluent_kafka import Consumer, TopicPartition
from jobstatus_producer import JobStatusProducer, ProducerSettings
from rich.table import Table

from .place import CHECKOUT, PARTITIONS, Place
from .tables import plain_table
from .targets import Target

RATE = 200
LOOK_EVERY = 0.002
WAIT_SECONDS = 60.0


class Setting(NamedTuple):
    """What the consumer is told."""

    batch: int
    linger: float


class Times(NamedTuple):
    """Seconds from call to row, in rising order."""

    setting: Setting
    seconds: Sequence[float]

    def at(self, share: float) -> float:
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


SETTINGS = (Setting(50, 2.0), Setting(500, 0.5), Setting(50, 0.0))


def measure(place: Place, seconds: float) -> list[Times]:
    return [_measure(place, setting, seconds) for setting in SETTINGS]


def _measure(place: Place, setting: Setting, seconds: float) -> Times:
    topic = f"freshness-{setting.batch}-{setting.linger:g}"
    place.make_topic(topic)
    with place.database() as url:
        env = {**place.environment(topic, setting.batch, url), "JOBSTATUS_BATCH_LINGER_SECONDS": str(setting.linger)}
        with _consumer(env), Looks(url) as looks, JobStatusProducer(ProducerSettings.from_env(env)) as jobs:
            # until the first rows are there both sides start and connect, on a new broker for some seconds
            warm_up = _report(jobs, "warm-up", RATE // 10)
            looks.wait_for(len(warm_up))
            called = _report(jobs, "job", int(seconds * RATE))
            looks.wait_for(len(warm_up) + len(called))
    positions = _positions(place, topic, len(warm_up) + len(called))
    return Times(setting, sorted(looks.first_seen(*positions[job_id]) - at for job_id, at in called.items()))


@contextmanager
def _consumer(env: Mapping[str, str]) -> Iterator[None]:
    argv = [sys.executable, "-c", "from jobstatus_consumer.cli.main import main; main()", "consume"]
    consumer = subprocess.Popen(argv, env=dict(env), cwd=CHECKOUT, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        consumer.terminate()
        consumer.wait(WAIT_SECONDS)


def _report(jobs: JobStatusProducer, prefix: str, count: int) -> dict[str, float]:
    """Report 200 updates a second, each of a job of its own: when each call was made, by job."""
    called: dict[str, float] = {}
    started = time.time()
    for number in range(count):
        time.sleep(max(0.0, started + number / RATE - time.time()))
        job_id = f"{prefix}-{number}"
        called[job_id] = time.time()
        jobs.update_job_status(job_id, "processing")
    return called


class Looks:
    """A thread that looks at the progress table; a context manager."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True, prepare_threshold=0)
        self._seen: dict[int, list[tuple[int, float]]] = {number: [] for number in range(PARTITIONS)}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Looks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(WAIT_SECONDS)
        self._connection.close()

    def _run(self) -> None:
        while not self._ending.wait(LOOK_EVERY):
            rows = self._connection.execute("SELECT log_id, next_offset FROM jobs_progress").fetchall()
            now = time.time()
            for log_id, offset in rows:
                seen = self._seen[int(log_id.split("/")[2])]
                if not seen or seen[-1][0] < offset:
                    seen.append((offset, now))

    def wait_for(self, events: int) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while sum(seen[-1][0] for seen in self._seen.values() if seen) < events:
            if time.monotonic() > deadline:
                raise RuntimeError("the consumer did not write everything")
            time.sleep(0.01)

    def first_seen(self, partition: int, offset: int) -> float:
        """When the event at this position was there first."""
        seen = self._seen[partition]
        return seen[bisect.bisect_right(seen, offset, key=lambda item: item[0])][1]


def _positions(place: Place, topic: str, events: int) -> dict[str, tuple[int, int]]:
    """Partition and offset of each job's event."""
    reader = Consumer({"bootstrap.servers": place.stack.kafka.bootstrap_servers, "group.id": "none"})
    reader.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    found: dict[str, tuple[int, int]] = {}
    deadline = time.monotonic() + WAIT_SECONDS
    while len(found) < events and time.monotonic() < deadline:
        for message in reader.consume(1000, 0.5):
            key, partition, offset = message.key(), message.partition(), message.offset()
            if message.error() is None and key is not None and partition is not None and offset is not None:
                found[key.decode()] = (partition, offset)
    reader.close()
    return found


def table(found: Sequence[Times]) -> Table:
    shown = plain_table(
        f"from the producer's call to the row, at {RATE} events/s",
        ["batch", "linger"],
        ["p50 ms", "p90 ms", "p99 ms", "most ms", "events"],
    )
    for times in found:
        figures = [f"{times.at(share) * 1000:,.1f}" for share in (0.5, 0.9, 0.99, 1.0)]
        shown.add_row(str(times.setting.batch), f"{times.setting.linger:g} s", *figures, f"{len(times.seconds):,}")
    return shown


def as_dict(found: Sequence[Times]) -> dict[str, Any]:
    return {
        f"batch_{times.setting.batch}_linger_{times.setting.linger:g}": {
            "p50_ms": round(times.at(0.5) * 1000, 2),
            "p99_ms": round(times.at(0.99) * 1000, 2),
            "events": len(times.seconds),
        }
        for times in found
    }


def targets(found: Sequence[Times]) -> list[Target]:
    reached = []
    for times in found:
        batch, linger = times.setting
        share, most, name = (0.99, linger + 0.1, "p99") if linger else (0.5, 0.05, "p50")
        what = f"call to row, batch {batch}, linger {linger:g} s, {name}"
        took, wanted = f"{times.at(share) * 1000:,.0f} ms", f"under {most * 1000:,.0f} ms"
        reached.append(Target(what, took, wanted, times.at(share) < most))
    return reached
