"""The first delivery of a new producer, on the real broker."""

from __future__ import annotations

import statistics
import time
from typing import Any, Final

from jobstatus_producer import JobStatusProducer
from rich.table import Table

from .place import Place
from .tables import plain_table
from .targets import Target

ROUNDS: Final = 9
MOST_SECONDS: Final = 0.1
BEFORE_SECONDS: Final = 0.51
"""The median of an earlier version, which handed a record over before the client had found its broker."""


def measure(place: Place, topic: str) -> list[float]:
    """Seconds from the first call of each of some new producers to the acknowledgement."""
    environ = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": place.stack.kafka.bootstrap_servers, "JOBSTATUS_TOPIC": topic}

    def deliver() -> float:
        with JobStatusProducer.from_env(environ) as jobs:
            began = time.perf_counter()
            jobs.update_job_status("job", "processing", wait=True)
            return time.perf_counter() - began

    return [deliver() for _ in range(ROUNDS)]


def table(seconds: list[float]) -> Table:
    shown = plain_table("the first event, s", ["of a new producer"], ["least", "median", "most", "before"])
    found = (min(seconds), statistics.median(seconds), max(seconds), BEFORE_SECONDS)
    shown.add_row("call to acknowledgement", *(f"{value:.3f}" for value in found))
    return shown


def as_dict(seconds: list[float]) -> dict[str, Any]:
    return {"delivery_seconds": [round(value, 3) for value in seconds]}


def targets(seconds: list[float]) -> list[Target]:
    median = statistics.median(seconds)
    wanted = f"{MOST_SECONDS} s at most"
    return [Target("the first delivery of a new producer", f"{median:.3f} s", wanted, median <= MOST_SECONDS)]
