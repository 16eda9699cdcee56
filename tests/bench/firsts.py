"""What comes first: the first delivery of a new producer, and a whole `jobstatus emit`, on the real broker."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from jobstatus_producer import JobStatusProducer
from rich.table import Table

from .place import CHECKOUT, Place
from .targets import Target

ROUNDS: Final = 7
MOST_DELIVERY_SECONDS: Final = 0.1
MOST_EMIT_SECONDS: Final = 0.4


class Firsts(NamedTuple):
    """Seconds, of each round."""

    delivery: list[float]
    emit: list[float]


def measure(place: Place, topic: str) -> Firsts:
    environ = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": place.stack.kafka.bootstrap_servers, "JOBSTATUS_TOPIC": topic}

    def deliver() -> float:
        with JobStatusProducer.from_env(environ) as jobs:
            return _seconds(lambda: jobs.update_job_status("job", "processing", wait=True))

    def emit() -> float:
        script = "from jobstatus_consumer.cli.main import main; main()"
        command = [sys.executable, "-c", script, "emit", "--job-id", "job", "--status", "success", "--wait"]
        return _seconds(lambda: subprocess.run(command, env=environ, cwd=CHECKOUT, check=True))

    return Firsts([deliver() for _ in range(ROUNDS)], [emit() for _ in range(ROUNDS)])


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def table(found: Firsts) -> Table:
    shown = Table("what", title="the first event, s", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("least", "median", "most"):
        shown.add_column(name, justify="right")
    for what, seconds in (("delivery, of a new producer", found.delivery), ("`jobstatus emit --wait`", found.emit)):
        shown.add_row(what, *(f"{value:.3f}" for value in (min(seconds), statistics.median(seconds), max(seconds))))
    return shown


def as_dict(found: Firsts) -> dict[str, Any]:
    return {name: [round(value, 3) for value in seconds] for name, seconds in found._asdict().items()}


def targets(found: Firsts) -> list[Target]:
    """Of an idle machine; a busy one shows more."""
    delivery, emit = statistics.median(found.delivery), statistics.median(found.emit)
    return [
        Target(
            "the first delivery of a new producer",
            f"{delivery:.3f} s",
            f"{MOST_DELIVERY_SECONDS} s at most",
            delivery <= MOST_DELIVERY_SECONDS,
        ),
        Target("emit", f"{emit:.2f} s", f"{MOST_EMIT_SECONDS} s at most", emit <= MOST_EMIT_SECONDS),
    ]
