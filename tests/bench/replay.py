"""Replay beside consume, a rebuild beside a bare COPY of the same rows, verify beside the decoder. All in one run.

python -m tests.bench.replay_bench     (EVENTS=20000 JOBS=4000 ROUNDS=1 for less; VERIFY_EVENTS=10000000 for memory)
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import psycopg
from confluent_kafka import Consumer, TopicPartition
from jobstatus_consumer.decode import decode
from jobstatus_consumer.records import RawRecord
from rich.console import Console
from rich.table import Table

from .place import PARTITIONS, Place, a_place

EVENTS = int(os.environ.get("EVENTS", "100000"))
JOBS = int(os.environ.get("JOBS", "20000"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
VERIFY_EVENTS = int(os.environ.get("VERIFY_EVENTS", "0"))
VERIFY_JOBS = int(os.environ.get("VERIFY_JOBS", str(VERIFY_EVENTS // 10)))
COMMAND = str(Path(sys.executable).parent / "jobstatus")
COMPARED = (
    ("consume", "", ""),
    ("replay", "consume", "1.0"),
    ("--into", "consume", "2.0"),
    ("--into", "replay", ""),
    ("dry run", "consume", ""),
    ("bare COPY, rows", "", ""),
    ("--into, rows", "bare COPY, rows", ""),
    ("read and decode", "", ""),
    ("verify", "read and decode", "0.5"),
)
COLUMNS = ("job_id, status, error_message, attempt, worker_id, occurred_at, event_id, latest_occurred_at, log_id,"
           " log_offset, updated_at")  # fmt: skip


def main() -> None:
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    with a_place() as place:
        place.make_topic("replayed")
        place.fill("replayed", EVENTS, JOBS)
        console.print(_table([one_round(place) for _ in range(ROUNDS)]))
        if VERIFY_EVENTS:
            console.print(_memory(place))


def one_round(place: Place) -> dict[str, float]:
    """Events a second, but for the COPYs: rows a second."""
    found = {}
    with place.database() as url:
        env = place.environment("replayed", 50, url)
        found["consume"] = _json(env, "consume", "--until-caught-up")["events_per_second"]
        with psycopg.connect(url, autocommit=True) as connection:
            # what the drain left to autovacuum would fall on whoever comes next
            connection.execute("VACUUM ANALYZE jobs")
        # before and after, since a machine that is shared is not equally fast all the time
        decoding = [_seconds(lambda: _decode(place))]
        found["verify"] = _json(env, "verify")["events_per_second"]
        decoding.append(_seconds(lambda: _decode(place)))
        found["read and decode"] = EVENTS / statistics.mean(decoding)
        found["dry run"] = EVENTS / _seconds(lambda: _run(env, "replay", "--dry-run"))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("TRUNCATE jobs")
        found["replay"] = _json(env, "replay", "--yes")["events_per_second"]
        into = _json(env, "replay", "--into", "rebuilt", "--yes")
        found["--into"] = into["events_per_second"]
        found["bare COPY, rows"] = into["applied"] / _copy(url)
        found["--into, rows"] = into["applied"] / into["seconds"]
    return found


def _table(rounds: Sequence[Mapping[str, float]]) -> Table:
    table = Table("what", title=f"{EVENTS:,} events of {JOBS:,} jobs, median of {ROUNDS}", title_justify="left")
    for name in ("a second", "ratio"):
        table.add_column(name, justify="right")
    table.add_column("to")
    table.add_column("wanted", justify="right")
    for name, other, wanted in COMPARED:
        rate = statistics.median(found[name] for found in rounds)
        ratio = statistics.median(found[name] / found[other] for found in rounds) if other else None
        table.add_row(name, f"{rate:,.0f}", f"{ratio:.2f}" if ratio is not None else "", other, wanted)
    return table


def _run(env: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run([COMMAND, *arguments], env=dict(env), capture_output=True, text=True, timeout=1800,
                          check=True)  # fmt: skip
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


def _decode(place: Place) -> None:
    reader = Consumer({"bootstrap.servers": place.stack.kafka.bootstrap_servers, "group.id": "decoder",
                       "enable.auto.commit": False})  # fmt: skip
    reader.assign([TopicPartition("replayed", number, 0) for number in range(PARTITIONS)])
    done = 0
    while done < EVENTS:
        for message in reader.consume(2000, 0.1):
            partition: Any = message.partition()
            offset: Any = message.offset()
            headers: Any = message.headers() or ()
            raw = RawRecord("replayed", partition, offset, message.timestamp()[1], message.key(), message.value(),
                            headers, "")  # fmt: skip
            decode(raw)
            done += 1
    reader.close()


def _memory(place: Place) -> str:
    """The highest memory of verify over many events of a tenth as many jobs (or of VERIFY_JOBS)."""
    place.make_topic("many")
    place.fill("many", VERIFY_EVENTS, VERIFY_JOBS)
    with place.database() as url:
        env = place.environment("many", 500, url)
        rebuild, into = _peak(env, "replay", "--into", "many", "--yes")
        verified, peak = _peak(env, "verify", "--table", "many", "--to", "now")
    head = f"{VERIFY_EVENTS:,} events of {VERIFY_JOBS:,} jobs"
    return (f"{head}: --into {rebuild:.0f} s, {into / 2**20:.0f} MiB; "
            f"verify {verified:.0f} s, {peak / 2**20:.0f} MiB")  # fmt: skip


def _peak(env: Mapping[str, str], *arguments: str) -> tuple[float, int]:
    started = time.perf_counter()
    process = psutil.Popen([COMMAND, *arguments], env=dict(env), stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        try:
            peak = max(peak, process.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.2)
    if process.wait():
        raise RuntimeError(f"{arguments} ended with {process.returncode}")
    return time.perf_counter() - started, peak


if __name__ == "__main__":
    main()
