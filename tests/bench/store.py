"""How fast the store writes, beside the server merely reading the same parameter.

Each round interleaves the measurements, so that what else the machine does falls on all of them.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
from jobstatus_consumer.core.fold import fold
from jobstatus_consumer.records import Batch, Event, Log, LogRange, RawRecord
from jobstatus_consumer.store import Store, json_params
from jobstatus_schemas import JobStatusEvent
from rich.table import Table

from .tables import plain_table

JOBS = 20_000
LOGS = [Log("job-status", "AbCdEfGhIjKlMnOpQrStUv", partition) for partition in range(4)]
STATUSES = ("pending", "processing", "success")
_COLUMNS = tuple(json_params.column_lists(()))
_PLACES = ", ".join(f"json_array_elements_text(%({name})s)" for name in _COLUMNS)
READ = (
    "SELECT count(job_id || status || error_message), count(event_id::uuid),"
    " sum(attempt::integer + occurred_at::bigint + latest_occurred_at::bigint + log_offset::bigint)"
    f" FROM ROWS FROM ({_PLACES}) AS n ({', '.join(_COLUMNS)})"
)


class Load:
    """Batches of events of four logs, without an end; `repeats` of the jobs of a batch come twice in it."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._offsets = [0] * len(LOGS)
        self._time = 1_767_268_800_000_000

    def batch(self, size: int, repeats: int = 0) -> Batch:
        """The next batch."""
        jobs = self._random.sample(range(JOBS), size - repeats)
        jobs += jobs[:repeats]
        starts = list(self._offsets)
        events = [self._event(job) for job in jobs]
        ranges = [
            LogRange(log.topic, log.partition, log.id, start, end)
            for log, start, end in zip(LOGS, starts, self._offsets, strict=True)
        ]
        return Batch(events, (), ranges)

    def _event(self, job: int) -> Event:
        log = LOGS[job % len(LOGS)]
        offset = self._offsets[log.partition]
        self._offsets[log.partition] += 1
        self._time += 7
        job_id, event_id = f"job-{job}", str(UUID(int=self._random.getrandbits(128), version=4))
        raw = RawRecord(log.topic, log.partition, offset, -1, b"", b"", (), log.id)
        status = self._random.choice(STATUSES)
        content = JobStatusEvent(event_id, job_id, status, None, 1, "worker-7", self._time)
        return Event(content, self._time, False, log.id, offset, raw)


def measured(action: Callable[[Batch], object], batches: Sequence[Batch]) -> tuple[float, float]:
    """Microseconds an event, on the clock and of this process's CPU."""
    events = sum(len(batch.events) for batch in batches)
    wall, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        action(batch)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall / events * 1e6, cpu / events * 1e6


def measure(url: str, rounds: int) -> dict[tuple[str, int], tuple[float, float]]:
    """Microseconds an event, on the clock and of the client's CPU, by (what, batch size); medians."""
    store = Store(url, "jobs")
    store.connect()
    load = Load()
    for _ in range(2 * JOBS // 500):
        store.write(load.batch(500))
    found = {}
    for size, count in ((50, 200), (500, 30)):
        for name, values in _compare(url, store, load, size, count, rounds).items():
            wall, cpu = (statistics.median(value[part] for value in values) for part in (0, 1))
            found[name, size] = wall, cpu
    store.close()
    return found


def table(found: Mapping[tuple[str, int], tuple[float, float]]) -> Table:
    shown = plain_table("the store alone, medians", ["batch", "what"], ["µs/event", "events/s", "client CPU µs/event"])
    for (name, size), (wall, cpu) in found.items():
        shown.add_row(str(size), name, f"{wall:.2f}", f"{1e6 / wall:,.0f}", f"{cpu:.2f}")
    return shown


def as_dict(found: Mapping[tuple[str, int], tuple[float, float]]) -> dict[str, Any]:
    return {
        f"{name} at {size}": {"micros": round(wall, 2), "cpu_micros": round(cpu, 2)}
        for (name, size), (wall, cpu) in found.items()
    }


def _compare(
    url: str, store: Store, load: Load, size: int, count: int, rounds: int
) -> Mapping[str, list[tuple[float, float]]]:
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
        json_params.register(connection)

        def read(batch: Batch) -> object:
            return connection.execute(READ, json_params.column_lists(batch.events)).fetchall()

        def only_fold(batch: Batch) -> object:
            return fold(batch.events)

        unwritten = Load(seed=2)  # what is not written may not be missing from the progress
        actions: dict[str, tuple[Callable[[Batch], object], Load, int]] = {
            "Store.write": (store.write, load, 0),
            "Store.write, a fifth of the jobs twice": (store.write, load, size // 6),
            "reading the parameter alone": (read, unwritten, 0),
            "folding alone, no job twice": (only_fold, unwritten, 0),
            "folding alone, a fifth of the jobs twice": (only_fold, unwritten, size // 6),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in actions}
        for _ in range(rounds):
            for name, (action, source, repeats) in actions.items():
                found[name].append(measured(action, [source.batch(size, repeats) for _ in range(count)]))
    return found
