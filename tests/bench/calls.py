"""What a call costs a worker, beside what it would cost otherwise. All in one run, on a real broker and database."""

from __future__ import annotations

import io
import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final, NamedTuple

import fastavro
import psutil
import psycopg
from confluent_kafka import Producer
from jobstatus_producer import JobStatusProducer
from jobstatus_producer.record import new_event_id
from jobstatus_schemas import JobStatusEvent, encode, schema_fingerprint, schema_text
from jobstatus_schemas.event import MAX_JOB_ID_BYTES, MAX_STATUS_BYTES
from jobstatus_schemas.framing.single_object import MARKER
from rich.table import Table

from .place import Place
from .tables import plain_table
from .targets import Target

THREADS: Final = 16
WARM_UP: Final = 2000
OURS: Final = "update_job_status, 1 thread"
OURS_MANY: Final = f"update_job_status, {THREADS} threads"
SPOOL: Final = "with a spool, unused, 1 thread"
SPOOL_MANY: Final = f"with a spool, unused, {THREADS} threads"
DURABLE: Final = "durable: spool first, 1 thread"
DURABLE_MANY: Final = f"durable: spool first, {THREADS} threads"
BARE: Final = "bare produce with callback, 1 thread"
BARE_MANY: Final = f"bare produce with callback, {THREADS} threads"
SKETCH: Final = "a sketch of the call, 1 thread"
IDLE_UPDATE: Final = "an UPDATE on an idle connection"
MOST_GROWTH: Final = 1.2
MOST_P50_MICROS: Final = 8
MOST_P99_MICROS: Final = 40
MOST_P99_MICROS_MANY: Final = 1000
LEAST_OF_ONE_THREAD: Final = 0.8
LEAST_DURABLE: Final = 2
OUR_PACKAGE: Final = "jobstatus_producer"
IMPORTS: Final = 10
MOST_IMPORT_SECONDS: Final = 0.15
Call = Callable[[int], object]


class Row(NamedTuple):
    """One line of the table; times in microseconds."""

    name: str
    p50: float
    p99: float
    p999: float
    cpu: float
    rate: float


def row_of(name: str, call: Call, calls: int, threads: int = 1, pause: float = 0.0) -> Row:
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


class Turn(NamedTuple):
    """What is measured in each round, one after the other, so that what else the machine does falls on all of it."""

    name: str
    call: Call
    settle: Callable[[], object]
    """waits until what was sent is acknowledged, so that the next one has the machine for itself"""
    calls: int
    threads: int = 1
    pause: float = 0.0


def turns(servers: str, topic: str, calls: int, opened: ExitStack) -> Iterator[Turn]:
    bare, sketch = Bare(servers, topic), Sketch(servers, topic)
    for client in (bare, sketch):
        for step in range(WARM_UP):
            client.call(step)
        client.flush()
    yield Turn(BARE, bare.call, bare.flush, calls)
    yield Turn(BARE_MANY, bare.call, bare.flush, calls, THREADS)
    yield Turn(SKETCH, sketch.call, sketch.flush, calls)
    settings: dict[tuple[str, str], dict[str, str]] = {
        (OURS, OURS_MANY): {},
        (SPOOL, SPOOL_MANY): {"SPOOL_DIR": opened.enter_context(tempfile.TemporaryDirectory())},
        (DURABLE, DURABLE_MANY): {"SPOOL_DIR": opened.enter_context(tempfile.TemporaryDirectory()), "DURABLE": "1"},
    }
    for (one, many), more in settings.items():
        jobs = opened.enter_context(producer(servers, topic, **more))
        count = calls // 20 if "DURABLE" in more else calls
        yield Turn(one, partial(report, jobs), partial(jobs.flush, 120), count)
        yield Turn(many, partial(report, jobs), partial(jobs.flush, 120), count, THREADS)
        if not more:
            # a worker does more than report: here each thread rests 2 ms after every call
            name = f"the same, {THREADS} threads at 2 ms"
            yield Turn(name, partial(report, jobs), partial(jobs.flush, 120), calls // 5, THREADS, 0.002)


def kafka_rows(servers: str, topic: str, calls: int, rounds: int) -> Iterator[Row]:
    with ExitStack() as opened:
        all_turns = list(turns(servers, topic, calls, opened))
        for _ in range(rounds):
            for turn in all_turns:
                yield row_of(turn.name, turn.call, turn.calls, turn.threads, turn.pause)
                turn.settle()


def away_rows(calls: int) -> Iterator[Row]:
    """With nobody listening every call is one write to the spool."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "JOBSTATUS_SPOOL_DIR": folder,
            "JOBSTATUS_MAX_PENDING_EVENTS": "1",
        }
        with JobStatusProducer.from_env(environ) as jobs:
            report(jobs, 0)
            yield row_of("broker away, into the spool, 1 thread", partial(report, jobs), calls // 5)
            yield row_of(f"broker away, into the spool, {THREADS} threads", partial(report, jobs), calls // 5, THREADS)


def database_rows(url: str, calls: int) -> Iterator[Row]:
    update = "UPDATE reported SET status = 'processing', updated_at = now() WHERE job_id = %s"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE reported (job_id text PRIMARY KEY, status text, updated_at timestamptz)")
        connection.execute("INSERT INTO reported SELECT 'job-' || n, 'new', now() FROM generate_series(0, 3999) n")
        yield row_of(IDLE_UPDATE, lambda step: connection.execute(update, (f"job-{step % 4000}",)), calls // 20)
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

    yield row_of(f"an UPDATE through a pool of 20, {THREADS} threads", through_the_pool, calls // 10, THREADS)
    for each in connections:
        each.close()


class Calls(NamedTuple):
    """The rows of each name, what the process held after so many calls and after ten times as many, in megabytes, and
    what an import takes: of what the package needs anyway, and of the package."""

    rounds: Mapping[str, Sequence[Row]]
    calls: int
    megabytes: tuple[float, float]
    import_seconds: tuple[float, float]

    @property
    def rows(self) -> list[Row]:
        """The median of each figure over the rounds."""
        return [
            Row(name, *map(statistics.median, list(zip(*rows, strict=True))[1:])) for name, rows in self.rounds.items()
        ]

    def median(self, name: str, figure: str) -> float:
        return float(statistics.median(getattr(row, figure) for row in self.rounds[name]))

    def ratio(self, name: str, figure: str = "p50", to: str = OURS) -> float:
        """How many times the same of `to`: the median of the rounds' own ratios, if both have the same rounds."""
        rows, others = self.rounds[name], self.rounds[to]
        if len(rows) != len(others):
            return self.median(name, figure) / self.median(to, figure)
        pairs = zip(rows, others, strict=True)
        return float(statistics.median(getattr(row, figure) / getattr(other, figure) for row, other in pairs))


def measure(place: Place, topic: str, calls: int, rounds: int) -> Calls:
    servers = place.stack.kafka.bootstrap_servers
    # before the process has held anything else
    megabytes = _memory(servers, topic, calls)
    rows = [*kafka_rows(servers, topic, calls // rounds, rounds), *away_rows(calls)]
    with place.database() as url:
        rows += database_rows(url, calls)
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row)
    imports = import_seconds("confluent_kafka, fastavro"), import_seconds(OUR_PACKAGE)
    return Calls(by_name, calls, megabytes, imports)


def import_seconds(modules: str) -> float:
    """The least of some fresh interpreters: whatever else the machine does only adds to it."""
    script = f"import time; began = time.perf_counter(); import {modules}; print(time.perf_counter() - began)"
    command = [sys.executable, "-c", script]
    # as where it is installed, all is compiled; the first of them does that
    environ = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    return min(
        float(subprocess.run(command, env=environ, check=True, capture_output=True).stdout) for _ in range(IMPORTS)
    )


def _memory(servers: str, topic: str, calls: int) -> tuple[float, float]:
    environ = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": servers, "JOBSTATUS_TOPIC": topic}
    with JobStatusProducer.from_env(environ) as jobs:
        sizes = []
        for count in (calls, 9 * calls):
            for step in range(count):
                report(jobs, step)
            sizes.append(psutil.Process().memory_info().rss / 1e6)
    return sizes[0], sizes[1]


def table(found: Calls) -> Table:
    before, after = found.megabytes
    held = f"the process after {found.calls:,} calls {before:.0f} MB, after ten times as many {after:.0f} MB"
    bare, ours = (1000 * seconds for seconds in found.import_seconds)
    rounds = f"{os.cpu_count()} cores; median of {len(found.rounds[OURS])} rounds in turns"
    said = f"{rounds}\n{held}\nan import takes {ours:.0f} ms, of confluent-kafka and fastavro alone {bare:.0f} ms"
    figures = ["p50", "p99", "p99.9", "CPU", "calls/s", "p50 to ours"]
    shown = plain_table("what a call costs, µs", ["a call"], figures, caption=said)
    for row in found.rows:
        times = [f"{value:,.1f}" for value in (row.p50, row.p99, row.p999, row.cpu)]
        shown.add_row(row.name, *times, f"{row.rate:,.0f}", f"{found.ratio(row.name):.2f} x")
    return shown


def as_dict(found: Calls) -> dict[str, Any]:
    rows = {
        name: {key: round(value, 1) for key, value in zip(Row._fields[1:], figures, strict=True)}
        for name, *figures in found.rows
    }
    imports = dict(zip(("bare", "ours"), (round(1000 * value) for value in found.import_seconds), strict=True))
    megabytes = [round(value) for value in found.megabytes]
    return {**rows, "megabytes": megabytes, "import_ms": imports, "calls": found.calls}


def targets(found: Calls) -> list[Target]:
    """A sketch took 6 times the bare produce and a 28th of an idle UPDATE; the sketch itself runs beside."""
    times_bare, of_update = 1 / found.ratio(BARE), found.ratio(IDLE_UPDATE)
    sketch, sketch_p99 = found.ratio(SKETCH), found.ratio(SKETCH, "p99")
    growth = found.megabytes[1] / found.megabytes[0]
    imported = found.import_seconds[1]
    return [
        Target("a call, times the bare produce", f"{times_bare:.1f}", "6 at most", times_bare <= 6),
        Target("an idle UPDATE, times a call", f"{of_update:.0f}", "28 or more", of_update >= 28),
        Target("a sketch of the call, times a call, p50", f"{sketch:.2f}", "1 or more", sketch >= 1),
        Target("a sketch of the call, times a call, p99", f"{sketch_p99:.2f}", "1 or more", sketch_p99 >= 1),
        *_thread_targets(found),
        Target("memory, ten times the calls", f"{growth:.2f} x", f"{MOST_GROWTH} x at most", growth <= MOST_GROWTH),
        Target(
            "the import of the package",
            f"{1000 * imported:.0f} ms",
            f"under {1000 * MOST_IMPORT_SECONDS:.0f} ms",
            imported < MOST_IMPORT_SECONDS,
        ),
    ]


def _thread_targets(found: Calls) -> list[Target]:
    """The bounds in microseconds are for a machine that does nothing else."""
    targets = [_under(found, OURS, "p50", MOST_P50_MICROS)]
    for one, many in ((OURS, OURS_MANY), (SPOOL, SPOOL_MANY)):
        rate = found.ratio(many, "rate", one)
        wanted = f"{LEAST_OF_ONE_THREAD} or more"
        targets += [
            _under(found, one, "p99", MOST_P99_MICROS),
            Target(f"{many}, times the rate of one", f"{rate:.2f}", wanted, rate >= LEAST_OF_ONE_THREAD),
            _under(found, many, "p99", MOST_P99_MICROS_MANY),
        ]
    durable = found.ratio(DURABLE_MANY, "rate", DURABLE)
    what = f"{DURABLE_MANY}, times the rate of one"
    return [*targets, Target(what, f"{durable:.1f}", f"{LEAST_DURABLE} or more", durable >= LEAST_DURABLE)]


def _under(found: Calls, name: str, figure: str, most: float) -> Target:
    value = found.median(name, figure)
    return Target(f"{name}, {figure}", f"{value:,.0f} µs", f"{most:,} µs at most", value <= most)
