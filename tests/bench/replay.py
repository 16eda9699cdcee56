"""Replay beside consume, a rebuild beside a bare COPY of the same rows, verify beside the decoder. All in one run."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from confluent_kafka import Consumer, TopicPartition
from jobstatus_consumer.core.decode import Decoder
from jobstatus_consumer.records import RawRecord
from rich.table import Table

from .place import PARTITIONS, RUN_SECONDS, Place
from .tables import plain_table
from .targets import Target

COMMAND: Final = str(Path(sys.executable).parent / "jobstatus")
COMPARED: Final[tuple[tuple[str, str, float | None], ...]] = (
    ("consume", "", None),
    ("replay", "consume", 1.0),
    ("--into", "consume", 2.0),
    ("--into", "replay", None),
    ("dry run", "consume", None),
    ("bare COPY, rows", "", None),
    ("--into, rows", "bare COPY, rows", None),
    ("read and decode", "", None),
    ("verify", "read and decode", 0.5),
)
"""What is measured, what it is held against, and the ratio that is wanted."""
COLUMNS: Final = (
    "job_id, status, error_message, attempt, worker_id, occurred_at, event_id, latest_occurred_at, log_id,"
    " log_offset, updated_at"
)
Rates = Mapping[str, float]
"""Events a second by what was measured; of the COPYs, rows a second."""


def measure(place: Place, topic: str, events: int, rounds: int, say: Callable[[str], None]) -> list[Rates]:
    found = []
    for number in range(rounds):
        rates = _one_round(place, topic, events)
        found.append(rates)
        say(f"  round {number + 1}: " + ", ".join(f"{name} {rate:,.0f}/s" for name, rate in rates.items()))
    return found


def _one_round(place: Place, topic: str, events: int) -> Rates:
    found = {}
    with place.database() as url:
        env = place.environment(topic, 50, url)
        found["consume"] = _json(env, "consume", "--until-caught-up")["events_per_second"]
        with psycopg.connect(url, autocommit=True) as connection:
            # what the drain left to autovacuum would fall on whoever comes next
            connection.execute("VACUUM ANALYZE jobs")
        # before and after, since a machine that is shared is not equally fast all the time
        decoding = [_seconds(lambda: _decode(place, topic, events))]
        found["verify"] = _json(env, "verify")["events_per_second"]
        decoding.append(_seconds(lambda: _decode(place, topic, events)))
        found["read and decode"] = events / statistics.mean(decoding)
        found["dry run"] = events / _seconds(lambda: _run(env, "replay", "--dry-run"))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("TRUNCATE jobs")
        found["replay"] = _json(env, "replay", "--yes")["events_per_second"]
        into = _json(env, "replay", "--into", "rebuilt", "--yes")
        found["--into"] = into["events_per_second"]
        found["bare COPY, rows"] = into["applied"] / _copy(url)
        found["--into, rows"] = into["applied"] / into["seconds"]
    return found


def ratio(rounds: Sequence[Rates], name: str, other: str) -> float:
    """The median of the rounds' own ratios, so that what else the machine did in a round falls on both."""
    return statistics.median(found[name] / found[other] for found in rounds)


def table(rounds: Sequence[Rates], events: int, jobs: int) -> Table:
    title = f"{events:,} events of {jobs:,} jobs, median of {len(rounds)}"
    found = plain_table(title, ["what"], ["a second", "ratio"])
    found.add_column("to")
    for name, other, _ in COMPARED:
        rate = statistics.median(each[name] for each in rounds)
        found.add_row(name, f"{rate:,.0f}", f"{ratio(rounds, name, other):.2f}" if other else "", other)
    return found


def as_dict(rounds: Sequence[Rates]) -> dict[str, Any]:
    compared = [(name, other) for name, other, _ in COMPARED if other]
    return {
        **{name: [round(found[name]) for found in rounds] for name in rounds[0]},
        **{f"{name} to {other}": round(ratio(rounds, name, other), 2) for name, other in compared},
    }


def targets(rounds: Sequence[Rates]) -> list[Target]:
    return [
        Target(
            f"{name}, times {other}",
            f"{ratio(rounds, name, other):.2f}",
            f"{wanted:g} or more",
            ratio(rounds, name, other) >= wanted,
        )
        for name, other, wanted in COMPARED
        if wanted is not None
    ]


def _run(env: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [COMMAND, *arguments], env=dict(env), capture_output=True, text=True, timeout=RUN_SECONDS, check=True
    )
    return done.stdout


def _json(env: Mapping[str, str], *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_run(env, *arguments, "--json").splitlines()[-1])
    return found


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _copy(url: str) -> float:
    """Seconds for the same rows out of the client's memory into a table of the same shape."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE bare (LIKE rebuilt INCLUDING ALL)")
        rows = connection.execute(f"SELECT {COLUMNS} FROM rebuilt ORDER BY job_id".encode()).fetchall()

        def copy() -> None:
            with connection.cursor() as cursor, cursor.copy(f"COPY bare ({COLUMNS}) FROM STDIN".encode()) as into:
                for row in rows:
                    into.write_row(row)

        return _seconds(copy)


def _decode(place: Place, topic: str, events: int) -> None:
    reader = Consumer(
        {"bootstrap.servers": place.stack.kafka.bootstrap_servers, "group.id": "decoder", "enable.auto.commit": False}
    )
    reader.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    done, decode = 0, Decoder().decode
    while done < events:
        for message in reader.consume(2000, 0.1):
            partition: Any = message.partition()
            offset: Any = message.offset()
            headers: Any = message.headers() or ()
            raw = RawRecord(
                topic, partition, offset, message.timestamp()[1], message.key(), message.value(), headers, ""
            )
            decode(raw)
            done += 1
    reader.close()
