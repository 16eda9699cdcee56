"""How long it takes from the producer's call to the row, at several rates and with both ways to flush.

At each rate the two run in turns, each against a topic and a database of its own. The transactions are those of the
whole server between the first call and the last row, of which the consumer makes nearly all.

The call's time is taken before the call. A row counts as there when a connection of the benchmark's own sees the
progress table, written in the same transaction, at or past the event's offset; it looks every 2 ms, so that a time
comes out up to that much too high, never too low. Both by this machine's one clock.
"""

from __future__ import annotations

import bisect
import math
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from confluent_kafka import Consumer, TopicPartition
from jobstatus_consumer.config import Flush
from jobstatus_producer import JobStatusProducer, ProducerSettings
from rich.table import Table

from .place import CHECKOUT, PARTITIONS, Place
from .tables import plain_table
from .targets import Target

LINGER = 2.0
RATES = (1, 10, 100, 1_000, 10_000, math.inf)
"""Events a second; the last is a burst."""
LOW = (1, 10, 100)
"""The rates at which a batch of 50 takes half a second or longer to fill."""
HIGH = 10_000
NO_WORSE = 1.1
"""So many times the linger's p50 may come out by chance."""
FEWEST = 20
BURST = 1_000
LOOK_EVERY = 0.002
WAIT_SECONDS = 60.0


class Setting(NamedTuple):
    """How the consumer makes its batches."""

    batch: int
    linger: float
    flush: Flush = "linger"


class Times(NamedTuple):
    """Seconds from call to row, in rising order; the events a second, and the transactions for a thousand events."""

    setting: Setting
    seconds: Sequence[float]
    rate: float = 200
    transactions_per_1000: float = 0.0

    def at(self, share: float) -> float:
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


Case = tuple[float, Setting]
BOTH = (Setting(50, LINGER), Setting(50, LINGER, "adaptive"))
OTHERS: tuple[Case, ...] = ((200, Setting(500, 0.5)), (200, Setting(50, 0.0)))


def measure(place: Place, seconds: float, rounds: int, say: Callable[[str], None]) -> list[Times]:
    """Each rate for so many seconds, or for as many events as show a p50."""
    runs: dict[Case, list[Times]] = {}
    both = [(rate, setting) for rate in RATES for _ in range(rounds) for setting in BOTH]
    for rate, setting in (*both, *OTHERS):
        times = _measure(place, rate, setting, _count(rate, seconds))
        runs.setdefault((rate, setting), []).append(times)
        say(f"  {_at(rate)}, {_name(setting)}: p50 {times.at(0.5) * 1000:,.1f} ms")
    return [_together(found) for found in runs.values()]


def _count(rate: float, seconds: float) -> int:
    return BURST if math.isinf(rate) else max(FEWEST, int(seconds * rate))


def _together(runs: Sequence[Times]) -> Times:
    """The rounds of a case as one."""
    seconds = sorted(second for times in runs for second in times.seconds)
    transactions = statistics.mean(times.transactions_per_1000 for times in runs)
    return runs[0]._replace(seconds=seconds, transactions_per_1000=transactions)


def _measure(place: Place, rate: float, setting: Setting, count: int) -> Times:
    with place.database() as url:
        topic = place.new_topic("freshness")
        env = {**place.environment(topic, setting.batch, url), **_variables(setting)}
        with _consumer(env), Looks(url) as looks, JobStatusProducer(ProducerSettings.from_env(env)) as jobs:
            # until the first rows are there both sides start and connect, on a new broker for some seconds
            warm_up = _report(jobs, "warm-up", 20, 200)
            looks.wait_for(len(warm_up))
            before = place.transaction_ids()
            called = _report(jobs, "job", count, rate)
            looks.wait_for(len(warm_up) + count)
            transactions = (place.transaction_ids() - before) / count * 1000
    positions = _positions(place, topic, len(warm_up) + count)
    seconds = sorted(looks.first_seen(*positions[job_id]) - at for job_id, at in called.items())
    return Times(setting, seconds, rate, transactions)


def _variables(setting: Setting) -> Mapping[str, str]:
    return {"JOBSTATUS_BATCH_LINGER_SECONDS": str(setting.linger), "JOBSTATUS_BATCH_FLUSH": setting.flush}


@contextmanager
def _consumer(env: Mapping[str, str]) -> Iterator[None]:
    argv = [sys.executable, "-c", "from jobstatus_consumer.cli.main import main; main()", "consume"]
    consumer = subprocess.Popen(argv, env=dict(env), cwd=CHECKOUT, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        consumer.terminate()
        consumer.wait(WAIT_SECONDS)


def _report(jobs: JobStatusProducer, prefix: str, count: int, rate: float) -> dict[str, float]:
    """Report `rate` updates a second, each of a job of its own: when each call was made, by job."""
    called: dict[str, float] = {}
    started = time.time()
    for number in range(count):
        time.sleep(max(0.0, started + number / rate - time.time()))
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
        "from the producer's call to the row",
        ["events/s", "flush", "batch"],
        ["p50 ms", "p99 ms", "most ms", "transactions for 1,000", "events"],
    )
    for times in found:
        figures = [f"{times.at(share) * 1000:,.1f}" for share in (0.5, 0.99, 1.0)]
        batch, transactions = str(times.setting.batch), f"{times.transactions_per_1000:,.0f}"
        shown.add_row(_at(times.rate), _name(times.setting), batch, *figures, transactions, f"{len(times.seconds):,}")
    return shown


def _at(rate: float) -> str:
    return f"burst of {BURST:,}" if math.isinf(rate) else f"{rate:,.0f}"


def _name(setting: Setting) -> str:
    return setting.flush if setting.flush == "adaptive" else f"linger {setting.linger:g} s"


def as_dict(found: Sequence[Times]) -> dict[str, Any]:
    return {
        f"{times.setting.flush}_batch_{times.setting.batch}_linger_{times.setting.linger:g}_at_{_key(times.rate)}": {
            "p50_ms": round(times.at(0.5) * 1000, 2),
            "p99_ms": round(times.at(0.99) * 1000, 2),
            "transactions_per_1000": round(times.transactions_per_1000, 1),
            "events": len(times.seconds),
        }
        for times in found
    }


def _key(rate: float) -> str:
    return "once" if math.isinf(rate) else f"{rate:g}"


def targets(found: Sequence[Times]) -> list[Target]:
    lingering = {times.rate: times for times in found if times.setting == BOTH[0]}
    return [
        _against(times, lingering[times.rate]) if times.setting == BOTH[1] else _alone(times)
        for times in found
        if times.setting != BOTH[1] or times.rate in (*LOW, HIGH)
    ]


def _alone(times: Times) -> Target:
    linger = times.setting.linger
    share, most, name = (0.99, linger + 0.1, "p99") if linger else (0.5, 0.05, "p50")
    what = f"call to row, {_at(times.rate)}, batch {times.setting.batch}, linger {linger:g} s, {name}"
    took, wanted = f"{times.at(share) * 1000:,.0f} ms", f"under {most * 1000:,.0f} ms"
    return Target(what, took, wanted, times.at(share) < most)


def _against(adaptive: Times, linger: Times) -> Target:
    """A row is fresher than with the linger where a batch is not full before, and no staler where it is."""
    beside, factor = linger.at(0.5), 1.0 if adaptive.rate in LOW else NO_WORSE
    wanted = f"under {beside * 1000:,.1f} ms" if factor == 1.0 else f"{beside * factor * 1000:,.1f} ms or less"
    what = f"call to row, {_at(adaptive.rate)}, adaptive beside linger {linger.setting.linger:g} s, p50"
    return Target(what, f"{adaptive.at(0.5) * 1000:,.1f} ms", wanted, adaptive.at(0.5) < beside * factor)
