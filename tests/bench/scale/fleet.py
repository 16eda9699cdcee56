"""Some real consumer processes on one topic and one table, measured while all of them write.

A window of seconds counts, from the moment at which every member has written and the partitions no longer move. So
neither the start of a process nor a rebalance is in it.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import IO, Any, Final, NamedTuple

import psutil
import psycopg

from ..place import CHECKOUT, Place
from .member import FIRST

SETTLE_SECONDS: Final = 1.5
ALONE_SECONDS: Final = 0.5
"""A member that is alone has its partitions from the start."""
START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 60.0
TRIES: Final = 4
LEAST_BATCHES: Final = 3
DRY_SECONDS: Final = 1.0
"""A member that has not written for so long at the end of the window has nothing more to write."""
WAL: Final = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint"
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Load(NamedTuple):
    """What a fleet is to do."""

    topic: str
    consumers: int = 1
    batch: int = 50
    window: int = 1
    trip_ms: float = 0.0
    """the round trip that the proxy adds; 0 is without the proxy"""
    settings: Mapping[str, str] = NOTHING


class Sample(NamedTuple):
    """What was measured. Micros are of CPU and of one event; cores are of the whole window."""

    consumers: int
    batch: int
    window: int
    asked_trip_ms: float
    trip_ms: float
    """the median of `SELECT 1` just before"""
    events_per_second: float
    consumer_micros: float
    postgres_micros: float
    broker_micros: float
    bench_micros: float
    """the proxy's"""
    wal_bytes: float
    batches_per_second: float
    logs_in_a_batch: float
    megabytes: float
    """the peak of the largest member"""
    other_cores: float
    """what other programs took of the machine"""

    @property
    def used_cores(self) -> float:
        """What all parts of the measurement took of the machine."""
        micros = self.consumer_micros + self.postgres_micros + self.broker_micros + self.bench_micros
        return micros * self.events_per_second / 1e6

    @property
    def cycle_ms(self) -> float:
        """The time of one batch of one member."""
        return 1000 * self.consumers * self.batch / self.events_per_second


class _Mark(NamedTuple):
    at: float
    cpu: float
    events: int
    partitions: list[int]


class _Member(NamedTuple):
    """What a member printed at its end."""

    marks: list[_Mark]
    peak_megabytes: float

    @classmethod
    def parse(cls, text: str) -> _Member:
        found = json.loads(text)
        return cls([_Mark(*mark) for mark in found["marks"]], found["peak_megabytes"])

    def between(self, began: float, ended: float) -> list[_Mark]:
        return [mark for mark in self.marks if began <= mark.at <= ended]


class _Seen(NamedTuple):
    """The machine at one moment: seconds of CPU by part, and the database's WAL."""

    at: float
    postgres: float
    broker: float
    bench: float
    busy: float
    wal: int


class UnsettledError(Exception):
    """Partitions moved, or a member had nothing to write, while it was measured."""


def measure(place: Place, load: Load, url: str, trip_ms: float, seconds: float) -> Sample:
    """Run the fleet on the database at `url`, which is `trip_ms` from it. Blocks until all members have ended."""
    with _members(place, load, url) as fleet:
        fleet.await_first()
        time.sleep(SETTLE_SECONDS if load.consumers > 1 else ALONE_SECONDS)
        began = _look(place)
        time.sleep(seconds)
        ended = _look(place)
        members = fleet.end()
    return _sample(load, trip_ms, began, ended, members)


def round_trip_ms(url: str) -> float:
    """The median time of a statement that does nothing."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
        times = []
        for _ in range(20):
            began = time.perf_counter()
            connection.execute("SELECT 1")
            times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2] * 1000


class _Fleet:
    def __init__(self, command: Sequence[str], env: Mapping[str, str], size: int, errors: IO[str]) -> None:
        self._errors = errors
        self._members = [
            subprocess.Popen(command, env=dict(env), cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=errors, text=True)
            for _ in range(size)
        ]

    def await_first(self) -> None:
        """Block until each member has written a batch."""
        for member in self._members:
            assert member.stdout is not None
            if member.stdout.readline().strip() != FIRST:
                raise RuntimeError(f"a member ended without a batch:\n{self._said()}")

    def end(self) -> list[_Member]:
        """Stop the members, and return what they did."""
        for member in self._members:
            member.terminate()
        found = []
        for member in self._members:
            out, _ = member.communicate(timeout=STOP_SECONDS)
            if member.returncode:
                raise RuntimeError(f"a member ended with {member.returncode}:\n{self._said()}")
            found.append(_Member.parse(out))
        return found

    def kill(self) -> None:
        for member in self._members:
            if member.poll() is None:
                member.kill()
                member.communicate()

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-3000:]


@contextmanager
def _members(place: Place, load: Load, url: str) -> Iterator[_Fleet]:
    settings = {"JOBSTATUS_BATCHES_IN_FLIGHT": str(load.window), **load.settings}
    env = {**place.environment(load.topic, load.batch, url), **settings}
    package = (__package__ or "").removeprefix("tests.")
    with ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8"))
        fleet = _Fleet([sys.executable, "-m", f"tests.{package}.member"], env, load.consumers, errors)
        stack.callback(fleet.kill)
        yield fleet


def _look(place: Place) -> _Seen:
    postgres, kafka = place.stack.postgres, place.stack.kafka
    busy = psutil.cpu_times()
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        row = connection.execute(WAL).fetchone()
    return _Seen(
        time.perf_counter(),
        _cpu_of(postgres.pid, with_children=True),
        sum(_cpu_of(node.pid) for node in kafka.nodes),
        time.process_time(),
        sum(busy) - busy.idle - busy.iowait - busy.guest - busy.guest_nice,
        int(row[0]) if row else 0,
    )


def _cpu_of(pid: int | None, *, with_children: bool = False) -> float:
    process = psutil.Process(pid)
    return sum(_seconds(item) for item in [process, *(process.children() if with_children else [])])


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _sample(load: Load, trip_ms: float, began: _Seen, ended: _Seen, members: Sequence[_Member]) -> Sample:
    marks = [member.between(began.at, ended.at) for member in members]
    _check_settled(marks, ended.at)
    spans = [found[-1].at - found[0].at for found in marks]
    rate = sum(sum(mark.events for mark in found[1:]) / span for found, span in zip(marks, spans, strict=True))
    consumers = sum((found[-1].cpu - found[0].cpu) / span for found, span in zip(marks, spans, strict=True))
    seconds, every = ended.at - began.at, list(itertools.chain.from_iterable(marks))
    postgres, broker, bench = (
        (getattr(ended, part) - getattr(began, part)) / seconds for part in ("postgres", "broker", "bench")
    )
    others = (ended.busy - began.busy) / seconds - consumers - postgres - broker - bench
    return Sample(
        consumers=load.consumers,
        batch=load.batch,
        window=load.window,
        asked_trip_ms=load.trip_ms,
        trip_ms=round(trip_ms, 3),
        events_per_second=round(rate, 1),
        consumer_micros=round(consumers / rate * 1e6, 2),
        postgres_micros=round(postgres / rate * 1e6, 2),
        broker_micros=round(broker / rate * 1e6, 2),
        bench_micros=round(bench / rate * 1e6, 2),
        wal_bytes=round((ended.wal - began.wal) / seconds / rate, 1),
        batches_per_second=round(rate * len(every) / sum(mark.events for mark in every), 1),
        logs_in_a_batch=round(sum(len(mark.partitions) for mark in every) / len(every), 2),
        megabytes=round(max(member.peak_megabytes for member in members), 1),
        other_cores=round(max(0.0, others), 2),
    )


def _check_settled(marks: Sequence[Sequence[_Mark]], ended: float) -> None:
    """Raise `UnsettledError` unless every member wrote in the whole window, each partitions of its own."""
    if any(len(found) < LEAST_BATCHES for found in marks):
        raise UnsettledError(f"a member wrote fewer than {LEAST_BATCHES} batches")
    if any(ended - found[-1].at > DRY_SECONDS for found in marks):
        raise UnsettledError("a member had nothing more to write")
    owned = [{number for mark in found for number in mark.partitions} for found in marks]
    if sum(map(len, owned)) > len(set().union(*owned)):
        raise UnsettledError("a partition moved")


def settled(run: Callable[[], Sample], say: Callable[[str], Any]) -> Sample | None:
    """The first run in which nothing moved; None if there is none in `TRIES`."""
    for _ in range(TRIES):
        try:
            return run()
        except UnsettledError as error:
            say(f"    not counted: {error}")
    return None
