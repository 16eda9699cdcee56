"""Three brokers go away for a minute while 16 threads report: what arrives, in which order, and what a call cost.

    python -m bench.producer_away        (in the folder tests; AWAY_SECONDS=10 UPDATES=5000 for a short one)

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
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from confluent_kafka.admin import AdminClient, NewTopic
from integration.producer.reading import Record, read_all, statuses_by_job
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.proxy import TcpProxy
from jobstatus_producer import BufferFullError, JobStatusProducer
from jobstatus_schemas.protocol import LATE_HEADER

AWAY_SECONDS = float(os.environ.get("AWAY_SECONDS", "60"))
UPDATES = int(os.environ.get("UPDATES", "50000"))
THREADS = 16
BEFORE_SECONDS = 3.0
JOBS_OF_A_THREAD = 20


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

    def go_away(self) -> None:
        """For `AWAY_SECONDS`: first unreachable, then dead."""
        for proxy in self._proxies:
            proxy.deaf()
        time.sleep(AWAY_SECONDS / 2)
        for node in self.kafka.nodes:
            node.kill()
        for proxy in self._proxies:
            proxy.heal()
        time.sleep(AWAY_SECONDS / 2)
        for node in self.kafka.nodes:
            node.launch()
        for node in self.kafka.nodes:
            node.await_ready(60, brokers=3)


class Callers:
    """Threads that report at a steady rate; each counts the statuses of its own jobs up."""

    def __init__(self, jobs: JobStatusProducer) -> None:
        self._jobs = jobs
        self.accepted: dict[str, list[str]] = {}
        self.refused = 0
        self.seconds: list[float] = []
        pause = (AWAY_SECONDS + 2 * BEFORE_SECONDS) / (UPDATES / THREADS)
        self._threads = [threading.Thread(target=self._work, args=(n, pause)) for n in range(THREADS)]

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        yield
        for thread in self._threads:
            thread.join()

    def _work(self, thread: int, pause: float) -> None:
        for step in range(UPDATES // THREADS):
            job = f"{thread}-{step % JOBS_OF_A_THREAD}"
            began = time.perf_counter()
            try:
                self._jobs.update_job_status(job, str(step))
                self.accepted.setdefault(job, []).append(str(step))
            except BufferFullError as error:
                self.refused += len(error.events)
            took = time.perf_counter() - began
            self.seconds.append(took)
            time.sleep(max(0.0, pause - took) * random.uniform(0.5, 1.5))


def in_process(cluster: Cluster, mode: str, **settings: str) -> Result:
    """The worker lives through it."""
    topic = cluster.topic(re.sub("[^a-z0-9]+", "-", f"away {mode}"))
    jobs = JobStatusProducer.from_env(environ(cluster, topic, **settings))
    callers = Callers(jobs)
    with callers.running():
        time.sleep(BEFORE_SECONDS)
        cluster.go_away()
    jobs.flush(120)
    jobs.close()
    records = read_all(cluster.kafka.bootstrap_servers, topic)
    arrived = statuses_by_job(records)
    lost = sum(len(set(sent) - set(arrived.get(job, []))) for job, sent in callers.accepted.items())
    times = sorted(callers.seconds)
    slowest = [times[int(len(times) * share)] for share in (0.5, 0.99, 0.999)] + [times[-1]]
    accepted = sum(map(len, callers.accepted.values()))
    return result(mode, accepted, callers.refused, lost, records, slowest)


WORKER = f"""
import sys, threading, time
from jobstatus_producer import JobStatusProducer
jobs = JobStatusProducer.from_env()
lock = threading.Lock()
def work(thread):
    for step in range({UPDATES // THREADS}):
        job = "%d-%d" % (thread, step % {JOBS_OF_A_THREAD})
        before = jobs.stats().spool_depth
        jobs.update_job_status(job, str(step))
        with lock:
            sys.stdout.write("%s %d %d\\n" % (job, step, before > 0))
        time.sleep({(AWAY_SECONDS + 2 * BEFORE_SECONDS) / (UPDATES / THREADS)})
threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range({THREADS})]
for thread in threads: thread.start()
while True:
    with lock:
        sys.stdout.flush()
    time.sleep(0.05)
"""


def killed(cluster: Cluster, mode: str, **settings: str) -> Result:
    """The worker is killed by SIGKILL in the middle of it, and started again when the brokers are back.

    Counted as accepted is what the worker said to be safe: all with `durable`, else what was reported while its spool
    was in use.
    """
    topic = cluster.topic(re.sub("[^a-z0-9]+", "-", f"away {mode}"))
    variables = environ(cluster, topic, **settings)
    with tempfile.TemporaryFile("w+") as out:
        command = [sys.executable, "-c", WORKER]
        worker = subprocess.Popen(command, env={**os.environ, **variables}, stdout=out, stderr=subprocess.DEVNULL)
        time.sleep(BEFORE_SECONDS)
        killer = threading.Timer(AWAY_SECONDS * 0.6, worker.send_signal, [signal.SIGKILL])
        killer.start()
        cluster.go_away()
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
    return result(mode, len(safe), 0, lost, records, [0.0] * 4)


def environ(cluster: Cluster, topic: str, **settings: str) -> dict[str, str]:
    variables = {f"JOBSTATUS_{name}": value for name, value in settings.items()}
    servers = cluster.kafka.bootstrap_servers
    return {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": servers, "JOBSTATUS_TOPIC": topic, **variables}


def result(mode: str, accepted: int, refused: int, lost: int, records: list[Record], slowest: list[float]) -> Result:
    effective = statuses_by_job(records)
    unique = sum(map(len, effective.values()))
    late = sum(LATE_HEADER in record.headers for record in records)
    return Result(mode, accepted, refused, unique, lost, len(records) - unique, late, out_of_order(effective), slowest)


def out_of_order(effective: Mapping[str, list[str]]) -> int:
    """Jobs whose statuses do not count up in the log."""
    return sum(sorted(map(int, steps)) != list(map(int, steps)) for steps in effective.values())


def show(rows: list[Result]) -> None:
    names = ("accepted", "refused", "arrived", "lost", "copies", "late", "disorder")
    print(f"{'':34}" + "".join(f"{name:>10}" for name in names) + "   call p50 / p99 / p99.9 / max ms")
    for row in rows:
        numbers = (row.accepted, row.refused, row.arrived, row.lost, row.copies, row.late, row.out_of_order)
        times = " / ".join(f"{1000 * seconds:.2f}" for seconds in row.slowest)
        print(f"{row.mode:34}" + "".join(f"{number:>10,}" for number in numbers) + f"   {times}")


def main() -> int:
    """Print the report; 1 if anything was lost or came out of order."""
    with ExitStack() as stack:
        cluster = Cluster(stack)
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(3)]
        rows = [
            in_process(cluster, "with a spool", SPOOL_DIR=str(folders[0])),
            in_process(cluster, "without, 2,000 pending, 1 s", MAX_PENDING_EVENTS="2000", MAX_BLOCK_SECONDS="1"),
            killed(cluster, "spool, worker killed", SPOOL_DIR=str(folders[1])),
            killed(cluster, "durable, worker killed", SPOOL_DIR=str(folders[2]), DURABLE="true"),
        ]
    show(rows)
    return int(any(row.lost or row.out_of_order for row in rows))


if __name__ == "__main__":
    sys.exit(main())
