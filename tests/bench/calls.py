"""What a call costs a worker, beside what it would cost otherwise. All in one run, on a real broker and database.

python -m bench.producer_bench        (in the folder tests; CALLS=20000 for fewer)
"""

from __future__ import annotations

import io
import json
import os
import queue
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import fastavro
import psutil
import psycopg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.postgres import LocalPostgres
from jobstatus_producer import JobStatusProducer
from jobstatus_producer.outbox import new_event_id
from jobstatus_schemas import JobStatusEvent, encode
from jobstatus_schemas.codec import MARKER, schema_fingerprint, schema_text
from jobstatus_schemas.limits import MAX_JOB_ID_BYTES, MAX_STATUS_BYTES

CALLS = int(os.environ.get("CALLS", "100000"))
THREADS = 16
WARM_UP = 2000
Call = Callable[[int], object]


class Row(NamedTuple):
    """One line of the table; times in microseconds."""

    name: str
    p50: float
    p99: float
    p999: float
    cpu: float
    rate: float


def measure(name: str, call: Call, calls: int = CALLS, threads: int = 1, pause: float = 0.0) -> Row:
    """`calls` calls in all, shared by `threads` threads that pause after every call, if at all."""
    found: list[list[int]] = []
    ready = threading.Barrier(threads + 1)

    def work(first: int, count: int) -> None:
        times = [0] * count
        clock = time.perf_counter_ns
        ready.wait()
        for step in range(count):
            began = clock()
            call(first + step)
            times[step] = clock() - began
            if pause:
                time.sleep(pause)
        found.append(times)

    share = calls // threads
    workers = [threading.Thread(target=work, args=(number * share, share)) for number in range(threads)]
    for worker in workers:
        worker.start()
    ready.wait()
    cpu, began = time.process_time(), time.perf_counter()
    for worker in workers:
        worker.join()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    times = sorted(each for times in found for each in times)
    p50, p99, p999 = (times[int(len(times) * share)] / 1000 for share in (0.5, 0.99, 0.999))
    return Row(name, p50, p99, p999, cpu / len(times) * 1e6, len(times) / seconds)


class Bare:
    """`produce` with a delivery callback, of the same bytes, with the same settings."""

    def __init__(self, servers: str, topic: str) -> None:
        properties = {"enable.idempotence": True, "acks": "all", "partitioner": "murmur2_random", "linger.ms": 5}
        self._producer = Producer(
            {"bootstrap.servers": servers, "queue.buffering.max.messages": 1_000_000, **properties}
        )
        event = JobStatusEvent(new_event_id(), "job-17", "processing", None, None, None, time.time_ns() // 1000)
        self._value = encode(event)
        self._topic = topic
        self.acknowledged = 0

    def call(self, step: int) -> None:
        self._producer.produce(self._topic, self._value, b"job-%d" % (step % 4000), on_delivery=self._done)
        self._producer.poll(0)

    def flush(self) -> None:
        self._producer.flush(60)

    def _done(self, _error: object, _message: object) -> None:
        self.acknowledged += 1


class Sketch(Bare):
    """The least that a whole call can do with libraries as they are: nothing is kept, bounded or tried again."""

    def __init__(self, servers: str, topic: str) -> None:
        super().__init__(servers, topic)
        self._schema = fastavro.parse_schema(json.loads(schema_text()))
        self._header = MARKER + schema_fingerprint()

    def call(self, step: int) -> None:
        job_id, status = f"job-{step % 4000}", "processing"
        if not 0 < len(job_id.encode()) <= MAX_JOB_ID_BYTES or not 0 < len(status.encode()) <= MAX_STATUS_BYTES:
            raise ValueError("too long")
        event = JobStatusEvent(str(uuid.uuid4()), job_id, status, None, None, None, time.time_ns() // 1000)
        value = io.BytesIO()
        value.write(self._header)
        fastavro.schemaless_writer(value, self._schema, event._asdict())
        self._producer.produce(self._topic, value.getvalue(), job_id.encode(), on_delivery=self._done)
        self._producer.poll(0)


@contextmanager
def producer(servers: str, topic: str, **more: str) -> Iterator[JobStatusProducer]:
    variables = {f"JOBSTATUS_{name}": value for name, value in more.items()}
    environ = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": servers, "JOBSTATUS_TOPIC": topic, **variables}
    with JobStatusProducer.from_env(environ | {"JOBSTATUS_MAX_PENDING_EVENTS": "1000000"}) as jobs:
        for step in range(WARM_UP):
            jobs.update_job_status(f"job-{step}", "processing")
        assert jobs.flush(60) == 0
        yield jobs


def report(jobs: JobStatusProducer, step: int) -> None:
    jobs.update_job_status(f"job-{step % 4000}", "processing")


def calls_of(jobs: JobStatusProducer, name: str, calls: int) -> Iterator[Row]:
    yield measure(f"{name}, 1 thread", partial(report, jobs), calls)
    jobs.flush(120)
    yield measure(f"{name}, {THREADS} threads", partial(report, jobs), calls, THREADS)
    jobs.flush(120)


def rows_of(client: Bare, name: str, threads: Sequence[int]) -> Iterator[Row]:
    for step in range(WARM_UP):
        client.call(step)
    client.flush()
    for count in threads:
        yield measure(f"{name}, {count} thread{'s' * (count > 1)}", client.call, threads=count)
        client.flush()


def kafka_rows(servers: str, topic: str) -> Iterator[Row]:
    yield from rows_of(Bare(servers, topic), "bare produce with callback", (1, THREADS))
    yield from rows_of(Sketch(servers, topic), "a sketch of the call", (1,))
    with producer(servers, topic) as jobs:
        yield from calls_of(jobs, "update_job_status", CALLS)
        # a worker does more than report: here each thread rests 2 ms after every call
        yield measure(f"the same, {THREADS} threads at 2 ms", partial(report, jobs), CALLS // 5, THREADS, pause=0.002)
    with tempfile.TemporaryDirectory() as folder, producer(servers, topic, SPOOL_DIR=folder) as jobs:
        yield from calls_of(jobs, "with a spool, unused", CALLS)
    with tempfile.TemporaryDirectory() as folder, producer(servers, topic, SPOOL_DIR=folder, DURABLE="1") as jobs:
        yield from calls_of(jobs, "durable: spool first", CALLS // 20)


def away_rows() -> Iterator[Row]:
    """With nobody listening every call is one write to the spool."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "JOBSTATUS_SPOOL_DIR": folder,
            "JOBSTATUS_MAX_PENDING_EVENTS": "1",
        }
        with JobStatusProducer.from_env(environ) as jobs:
            report(jobs, 0)
            yield measure("broker away, into the spool, 1 thread", partial(report, jobs), CALLS // 5)
            yield measure(f"broker away, into the spool, {THREADS} threads", partial(report, jobs), CALLS // 5, THREADS)


def database_rows(url: str) -> Iterator[Row]:
    update = "UPDATE jobs SET status = 'processing', updated_at = now() WHERE job_id = %s"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE jobs (job_id text PRIMARY KEY, status text, updated_at timestamptz)")
        connection.execute("INSERT INTO jobs SELECT 'job-' || n, 'new', now() FROM generate_series(0, 3999) n")
        yield measure(
            "an UPDATE on an idle connection",
            lambda step: connection.execute(update, (f"job-{step % 4000}",)),
            CALLS // 20,
        )
    pool: queue.SimpleQueue[psycopg.Connection] = queue.SimpleQueue()
    connections = [psycopg.connect(url, autocommit=True) for _ in range(20)]
    for each in connections:
        pool.put(each)

    def through_the_pool(step: int) -> None:
        connection = pool.get()
        try:
            connection.execute(update, (f"job-{step % 4000}",))
        finally:
            pool.put(connection)

    yield measure(f"an UPDATE through a pool of 20, {THREADS} threads", through_the_pool, CALLS // 10, THREADS)
    for each in connections:
        each.close()


def memory(servers: str, topic: str) -> str:
    """What the process holds after so many calls, and after ten times as many."""
    environ = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": servers, "JOBSTATUS_TOPIC": topic}
    with JobStatusProducer.from_env(environ) as jobs:
        sizes = []
        for calls in (CALLS, 9 * CALLS):
            for step in range(calls):
                report(jobs, step)
            sizes.append(psutil.Process().memory_info().rss / 2**20)
    return f"memory after {CALLS:,} calls {sizes[0]:.0f} MB, after {10 * CALLS:,} calls {sizes[1]:.0f} MB"


def show(rows: list[Row]) -> None:
    base = next(row for row in rows if row.name == "update_job_status, 1 thread")
    print(f"{'':46} {'p50 us':>8} {'p99 us':>9} {'p99.9 us':>9} {'CPU us':>7} {'calls/s':>9} {'p50 to ours':>12}")
    for row in rows:
        ratio = row.p50 / base.p50
        times = f"{row.p50:8.1f} {row.p99:9.1f} {row.p999:9.1f} {row.cpu:7.1f}"
        print(f"{row.name:46} {times} {row.rate:9,.0f} {ratio:11.2f}x")


def main() -> None:
    """Print the table."""
    sys.setswitchinterval(0.005)
    with LocalKafka() as kafka, LocalPostgres() as postgres:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        admin.create_topics([NewTopic("bench", 4, 1)])["bench"].result(30)
        held = memory(kafka.bootstrap_servers, "bench")
        rows = [
            *kafka_rows(kafka.bootstrap_servers, "bench"),
            *away_rows(),
            *database_rows(postgres.create_database("bench")),
        ]
    show(rows)
    print(held)


if __name__ == "__main__":
    main()
