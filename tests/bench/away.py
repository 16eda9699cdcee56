"""Three brokers go away for a minute while 16 threads report: what arrives, in which order, and what a call cost.

Half of the time the cables are cut (a proxy that lets nothing through), the other half all brokers are killed.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from confluent_kafka.admin import AdminClient, NewTopic
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.proxy import TcpProxy
from jobstatus_producer import BufferFullError, JobStatusProducer
from jobstatus_schemas.protocol import LATE_HEADER
from rich.table import Table

from .tables import plain_table
from .targets import Target

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from integration.producer.reading import Record, read_all, statuses_by_job

THREADS: Final = 16
BEFORE_SECONDS: Final = 3.0
JOBS_OF_A_THREAD: Final = 20
BLOCK_SECONDS: Final = 1.0
"""How long a call may wait for room where there is no spool."""
OVER_THE_BOUND: Final = 2.0


class Load(NamedTuple):
    """How long the brokers are away, and how many updates the threads report in all."""

    away_seconds: float
    updates: int

    @property
    def each(self) -> int:
        """Updates of a thread."""
        return self.updates // THREADS

    @property
    def pause(self) -> float:
        """Seconds between two updates of a thread, so that they last from before the outage until after it."""
        return (self.away_seconds + 2 * BEFORE_SECONDS) / self.each


class Result(NamedTuple):
    """One line of the report."""

    mode: str
    accepted: int
    refused: int
    arrived: int
    lost: int
    copies: int
    late: int
    out_of_order: int
    slowest: list[float]
    """seconds of a call: p50, p99, p99.9 and the longest; empty where the worker was killed"""
    bound: float
    """how long a call may block"""


class Cluster:
    """Three brokers, each behind a proxy."""

    def __init__(self, stack: ExitStack) -> None:
        self._proxies: list[TcpProxy] = []
        self._stack = stack
        self.kafka = stack.enter_context(LocalKafka(3, advertised=self._advertise))

    def _advertise(self, _node_id: int, port: int) -> tuple[str, int]:
        proxy = self._stack.enter_context(TcpProxy(port))
        self._proxies.append(proxy)
        return proxy.address

    def topic(self, name: str) -> str:
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers, "log_level": 0})
        admin.create_topics([NewTopic(name, 6, 3)])[name].result(60)
        return name

    def go_away(self, seconds: float) -> None:
        """First unreachable, then dead."""
        for proxy in self._proxies:
            proxy.deaf()
        time.sleep(seconds / 2)
        for node in self.kafka.nodes:
            node.kill()
        for proxy in self._proxies:
            proxy.heal()
        time.sleep(seconds / 2)
        for node in self.kafka.nodes:
            node.launch()
        for node in self.kafka.nodes:
            node.await_ready(60, brokers=3)


class Callers:
    """Threads that report at a steady rate; each counts the statuses of its own jobs up."""

    def __init__(self, jobs: JobStatusProducer, load: Load) -> None:
        self._jobs = jobs
        self.accepted: dict[str, list[str]] = {}
        self.refused = 0
        self.seconds: list[float] = []
        self._threads = [threading.Thread(target=self._work, args=(n, load)) for n in range(THREADS)]

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        yield
        for thread in self._threads:
            thread.join()

    def _work(self, thread: int, load: Load) -> None:
        for step in range(load.each):
            job = f"{thread}-{step % JOBS_OF_A_THREAD}"
            began = time.perf_counter()
            try:
                self._jobs.update_job_status(job, str(step))
                self.accepted.setdefault(job, []).append(str(step))
            except BufferFullError as error:
                self.refused += len(error.events)
            took = time.perf_counter() - began
            self.seconds.append(took)
            time.sleep(max(0.0, load.pause - took) * random.uniform(0.5, 1.5))


def in_process(cluster: Cluster, load: Load, mode: str, bound: float, **settings: str) -> Result:
    """The worker lives through it."""
    topic = cluster.topic(re.sub("[^a-z0-9]+", "-", f"away {mode}"))
    jobs = JobStatusProducer.from_env(environ(cluster, topic, **settings))
    callers = Callers(jobs, load)
    with callers.running():
        time.sleep(BEFORE_SECONDS)
        cluster.go_away(load.away_seconds)
    jobs.flush(120)
    jobs.close()
    records = read_all(cluster.kafka.bootstrap_servers, topic)
    arrived = statuses_by_job(records)
    lost = sum(len(set(sent) - set(arrived.get(job, []))) for job, sent in callers.accepted.items())
    times = sorted(callers.seconds)
    slowest = [times[int(len(times) * share)] for share in (0.5, 0.99, 0.999)] + [times[-1]]
    accepted = sum(map(len, callers.accepted.values()))
    return result(mode, accepted, callers.refused, lost, records, slowest, bound)


WORKER = """
import sys, threading, time
from jobstatus_producer import JobStatusProducer
threads, each, pause, of_a_thread = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
jobs = JobStatusProducer.from_env()
lock = threading.Lock()
def work(thread):
    for step in range(each):
        job = f"{thread}-{step % of_a_thread}"
        before = jobs.stats().spool_depth
        jobs.update_job_status(job, str(step))
        with lock:
            sys.stdout.write(f"{job} {step} {int(before > 0)}\\n")
        time.sleep(pause)
for n in range(threads): threading.Thread(target=work, args=(n,), daemon=True).start()
while True:
    with lock:
        sys.stdout.flush()
    time.sleep(0.05)
"""


def killed(cluster: Cluster, load: Load, mode: str, **settings: str) -> Result:
    """The worker is killed by SIGKILL in the middle of it, and started again when the brokers are back.

    Counted as accepted is what the worker said to be safe: all with `durable`, else what was reported while its spool
    was in use.
    """
    topic = cluster.topic(re.sub("[^a-z0-9]+", "-", f"away {mode}"))
    variables = environ(cluster, topic, **settings)
    with tempfile.TemporaryFile("w+") as out:
        sizes = (THREADS, load.each, load.pause, JOBS_OF_A_THREAD)
        command = [sys.executable, "-c", WORKER, *map(str, sizes)]
        worker = subprocess.Popen(command, env={**os.environ, **variables}, stdout=out, stderr=subprocess.DEVNULL)
        time.sleep(BEFORE_SECONDS)
        killer = threading.Timer(load.away_seconds * 0.6, worker.send_signal, [signal.SIGKILL])
        killer.start()
        cluster.go_away(load.away_seconds)
        killer.join()
        worker.wait()
        out.seek(0)
        lines = [line.split() for line in out.read().splitlines() if line.count(" ") == 2]
    safe = [(job, step) for job, step, spooled in lines if "JOBSTATUS_DURABLE" in variables or spooled == "1"]
    with JobStatusProducer.from_env(variables) as jobs:
        jobs.flush(120)
    records = read_all(cluster.kafka.bootstrap_servers, topic)
    arrived = statuses_by_job(records)
    lost = sum(step not in arrived.get(job, []) for job, step in safe)
    return result(mode, len(safe), 0, lost, records, [], 0.0)


def environ(cluster: Cluster, topic: str, **settings: str) -> dict[str, str]:
    variables = {f"JOBSTATUS_{name}": value for name, value in settings.items()}
    servers = cluster.kafka.bootstrap_servers
    return {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": servers, "JOBSTATUS_TOPIC": topic, **variables}


def result(
    mode: str, accepted: int, refused: int, lost: int, records: list[Record], slowest: list[float], bound: float
) -> Result:
    effective = statuses_by_job(records)
    unique = sum(map(len, effective.values()))
    late = sum(LATE_HEADER in record.headers for record in records)
    copies = len(records) - unique
    return Result(mode, accepted, refused, unique, lost, copies, late, out_of_order(effective), slowest, bound)


def out_of_order(effective: Mapping[str, list[str]]) -> int:
    """Jobs whose statuses do not count up in the log."""
    return sum(sorted(map(int, steps)) != list(map(int, steps)) for steps in effective.values())


def measure(away_seconds: float, updates: int) -> list[Result]:
    load = Load(away_seconds, updates)
    with ExitStack() as stack:
        cluster = Cluster(stack)
        folders = [stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(3)]
        few, block = "2000", f"{BLOCK_SECONDS:g}"
        return [
            in_process(cluster, load, "with a spool", 0.0, SPOOL_DIR=folders[0]),
            in_process(
                cluster,
                load,
                f"without, {few} pending, {block} s",
                BLOCK_SECONDS,
                MAX_PENDING_EVENTS=few,
                MAX_BLOCK_SECONDS=block,
            ),
            killed(cluster, load, "spool, worker killed", SPOOL_DIR=folders[1]),
            killed(cluster, load, "durable, worker killed", SPOOL_DIR=folders[2], DURABLE="true"),
        ]


def table(found: Sequence[Result]) -> Table:
    shown = plain_table(
        "three brokers away; a call in ms: p50, p99, p99.9, longest",
        ["mode"],
        ["accepted", "refused", "arrived", "lost", "copies", "late", "out of order", "a call"],
    )
    for row in found:
        numbers = (row.accepted, row.refused, row.arrived, row.lost, row.copies, row.late, row.out_of_order)
        times = " ".join(f"{1000 * seconds:.2f}" for seconds in row.slowest)
        shown.add_row(row.mode, *(f"{number:,}" for number in numbers), times)
    return shown


def as_dict(found: Sequence[Result]) -> dict[str, Any]:
    return {row.mode: {key: value for key, value in row._asdict().items() if key != "mode"} for row in found}


def targets(found: Sequence[Result]) -> list[Target]:
    lost, disorder = sum(row.lost for row in found), sum(row.out_of_order for row in found)
    calls = [
        Target(
            f"brokers away, {row.mode}: the longest call",
            f"{row.slowest[-1]:.2f} s",
            f"{row.bound + OVER_THE_BOUND:g} s at most",
            row.slowest[-1] <= row.bound + OVER_THE_BOUND,
        )
        for row in found
        if row.slowest
    ]
    return [
        Target("brokers away: accepted and lost", f"{lost:,}", "0", lost == 0),
        Target("brokers away: jobs out of order", f"{disorder:,}", "0", disorder == 0),
        *calls,
    ]
