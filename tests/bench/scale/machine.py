"""The facts of the machine beside the figures, and what a commit costs on its disk."""

from __future__ import annotations

import datetime
import platform
import re
import statistics
import time
from pathlib import Path
from typing import Any, Final

import confluent_kafka
import psutil
import psycopg
from jobstatus_local import jars

from ..place import Place

COMMITS: Final = 100


def facts(place: Place) -> dict[str, str]:
    """Cores, memory, processor, and the versions of everything that takes part."""
    with psycopg.connect(place.stack.postgres.url) as connection:
        server = connection.info.server_version
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cores": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GB",
        "processor": _processor(),
        "Kafka": _kafka_version(),
        "PostgreSQL": f"{server // 10_000}.{server % 10_000}",
        "librdkafka": confluent_kafka.libversion()[0],
        "Python": platform.python_version(),
    }


def commit_micros(place: Place) -> float:
    """How much longer an update of one row takes with a durable commit than without: the median of pairs."""
    with place.database() as url, psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
        connection.execute("CREATE TABLE one (n bigint)")
        connection.execute("INSERT INTO one VALUES (0)")
        pairs = [[_update_micros(connection, word) for word in ("on", "off")] for _ in range(COMMITS)]
    return round(max(0.0, statistics.median(on - off for on, off in pairs)), 1)


def _update_micros(connection: psycopg.Connection[Any], commit: str) -> float:
    connection.execute(f"SET synchronous_commit = {commit}".encode())
    began = time.perf_counter()
    connection.execute("UPDATE one SET n = n + 1")
    return (time.perf_counter() - began) * 1e6


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _kafka_version() -> str:
    (jar,) = (jar for jar in jars.locked(jars.BROKER) if jar.artifact == "kafka-server")
    return jar.version
