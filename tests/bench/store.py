"""How fast the store writes, beside the server merely reading the same parameter: python tests/bench/store_bench.py

Each round interleaves the measurements, so that what else the machine does falls on all of them; medians are printed.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psycopg
from jobstatus_consumer.fold import fold
from jobstatus_consumer.records import Batch, Event, Log, RawRecord, Span
from jobstatus_consumer.store import Store, documents, migrate
from jobstatus_local.postgres import LocalPostgres

JOBS = 20_000
LOGS = [Log("job-status", "AbCdEfGhIjKlMnOpQrStUv", partition) for partition in range(4)]
STATUSES = ("pending", "processing", "success")
ROUNDS = 5
_PLACES = ", ".join(f"json_array_elements_text(%({name})s)" for name in documents.COLUMNS if name)
READ = (
    "SELECT count(a || b || c), sum(d::integer + f::bigint + h::bigint + j::bigint), count(g::uuid)"
    f" FROM ROWS FROM ({_PLACES}) AS n (a, b, c, d, e, f, g, h, i, j)"
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
        spans = [
            Span(log.topic, log.partition, log.id, start, end)
            for log, start, end in zip(LOGS, starts, self._offsets, strict=True)
        ]
        return Batch(events, (), spans)

    def _event(self, job: int) -> Event:
        log = LOGS[job % len(LOGS)]
        offset = self._offsets[log.partition]
        self._offsets[log.partition] += 1
        self._time += 7
        job_id, event_id = f"job-{job}", str(UUID(int=self._random.getrandbits(128), version=4))
        raw = RawRecord(log.topic, log.partition, offset, -1, b"", b"", (), log.id)
        status = self._random.choice(STATUSES)
        return Event(job_id, status, None, 1, "worker-7", self._time, event_id, self._time, False, log.id, offset, raw)


def measured(action: Callable[[Batch], object], batches: Sequence[Batch]) -> tuple[float, float]:
    """Microseconds an event, on the clock and of this process's CPU."""
    events = sum(len(batch.events) for batch in batches)
    wall, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        action(batch)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall / events * 1e6, cpu / events * 1e6


def main() -> None:
    """Print the table."""
    with LocalPostgres() as server:
        migrate(server.url, "jobs")
        store = Store(server.url, "jobs")
        store.connect()
        load = Load()
        for _ in range(2 * JOBS // 500):
            store.write(load.batch(500))
        print(f"{'':42}{'us an event':>14}{'events/s':>12}{'client CPU us':>16}")
        for size, count in ((50, 200), (500, 30)):
            _compare(server.url, store, load, size, count)
        store.close()


def _compare(url: str, store: Store, load: Load, size: int, count: int) -> None:
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
        documents.register(connection)

        def read(batch: Batch) -> object:
            return connection.execute(READ, documents.columns(batch.events)).fetchall()

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
        for _ in range(ROUNDS):
            for name, (action, source, repeats) in actions.items():
                found[name].append(measured(action, [source.batch(size, repeats) for _ in range(count)]))
    for name, values in found.items():
        wall, cpu = (statistics.median(value[part] for value in values) for part in (0, 1))
        print(f"{size:>4}  {name:<36}{wall:14.2f}{1e6 / wall:12,.0f}{cpu:16.2f}")


if __name__ == "__main__":
    main()
