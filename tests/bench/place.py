"""Where the measurements run: a real broker, a real PostgreSQL, topics filled once, a fresh database for each run."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import psycopg
from confluent_kafka import Producer
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.kafka import Topics, dead_letters_plan, events_plan
from jobstatus_consumer.store import migrate
from jobstatus_local.jars import CACHE_VARIABLE
from jobstatus_local.proxy import TcpProxy
from jobstatus_local.stack import LocalStack, local_stack
from jobstatus_schemas import JobStatusEvent, encode

from .marks import Run

PARTITIONS = 4
STATUSES = ("pending", "processing", "success")
RUN_SECONDS = 600
CHECKOUT = Path(__file__).resolve().parents[2]


class Measured(NamedTuple):
    """A contender's run, and the write transactions that it cost for a thousand events."""

    run: Run
    transactions_per_1000: float


class Place:
    """The servers, and what is done with them."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self._runs = 0

    def environment(self, topic: str, batch: int, database_url: str) -> dict[str, str]:
        """The settings of a contender; each has a group of its own."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("JOBSTATUS_") or name == CACHE_VARIABLE
        }
        return {
            **kept,
            "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": self.stack.kafka.bootstrap_servers,
            "JOBSTATUS_DATABASE_URL": database_url,
            "JOBSTATUS_TOPIC": topic,
            "JOBSTATUS_GROUP_ID": f"bench-{self._runs}",
            "JOBSTATUS_BATCH_MAX_EVENTS": str(batch),
            "JOBSTATUS_HTTP_ADDRESS": "off",
        }

    def make_topic(self, name: str, partitions: int = PARTITIONS) -> None:
        settings = load_settings(self.environment(name, 50, self.stack.postgres.url))
        topics = Topics(settings)
        topics.create(events_plan(settings, partitions, 1, 1.0))
        topics.create(dead_letters_plan(settings, 1, 1, 1.0))

    def new_topic(self, prefix: str) -> str:
        """A topic for the run whose database is the newest."""
        name = f"{prefix}-{self._runs}"
        self.make_topic(name)
        return name

    def fill(self, topic: str, events: int, jobs: int) -> None:
        """A backlog of `events` of `jobs`, the same ones every time."""
        self.produce(topic, backlog(events, jobs))

    def produce(self, topic: str, records: Iterable[tuple[str | bytes | None, bytes | None]]) -> None:
        """Put the records (key, value) on the topic, in order."""
        producer = Producer(
            {
                "bootstrap.servers": self.stack.kafka.bootstrap_servers,
                "partitioner": "murmur2_random",
                "linger.ms": 20,
                "queue.buffering.max.messages": 200_000,
            }
        )
        for key, value in records:
            while producer.poll(0) >= 0:
                try:
                    producer.produce(topic, value, key)
                    break
                except BufferError:
                    producer.poll(0.1)
        if producer.flush(60):
            raise RuntimeError("the backlog could not be written")

    @contextmanager
    def database(self) -> Iterator[str]:
        """A database with fresh tables, on a server at rest."""
        self._runs += 1
        name = f"bench_{self._runs}"
        url = self.stack.postgres.create_database(name)
        migrate(url, "jobs")
        with psycopg.connect(self.stack.postgres.url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        try:
            yield url
        finally:
            self.stack.postgres.drop_database(name)

    def run(
        self,
        contender: str,
        topic: str,
        events: int,
        batch: int,
        prepare: Callable[[str], object] = lambda url: None,
        look: Callable[[str], object] = lambda url: None,
        settings: Mapping[str, str] = MappingProxyType({}),
        through: TcpProxy | None = None,
        checkout: Path | None = None,
    ) -> Measured:
        """One run of a contender in a process of its own, over the whole topic, in a database made ready by
        `prepare`; `look` is called with its URL afterwards. The contender connects through a proxy, if one is given.
        With `checkout` it is the contender of that checkout."""
        with self.database() as url:
            prepare(url)
            before = self.transaction_ids()
            env = {**self.environment(topic, batch, through.through(url) if through else url), **settings}
            run = Run(**json.loads(child(contender, [str(events)], env, checkout).splitlines()[-1]))
            found = Measured(run, (self.transaction_ids() - before) / events * 1000)
            look(url)
            return found

    def transaction_ids(self) -> int:
        """How many transactions that write the server has begun."""
        with psycopg.connect(self.stack.postgres.url) as connection:
            row = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
        return int(row[0]) if row else 0


def backlog(events: int, jobs: int) -> Iterator[tuple[str, bytes]]:
    """Keys and values, the same ones every time but for their times."""
    chance = random.Random(1)
    now = int(time.time() * 1e6)
    for number in range(events):
        job_id = f"job-{chance.randrange(jobs):06d}"
        event_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        message = "the remote service answered 503" if chance.random() < 0.05 else None
        status = "error" if message else chance.choice(STATUSES)
        event = JobStatusEvent(event_id, job_id, status, message, 1, f"worker-{number % 16:02d}", now + number)
        yield job_id, encode(event)


def child(module: str, arguments: list[str], env: Mapping[str, str], checkout: Path | None = None) -> str:
    """What a module of this package prints, run in a process of its own; or that of another checkout."""
    python = sys.executable if checkout is None else checkout / ".venv" / "bin" / "python"
    argv = [str(python), "-m", f"{__package__}.{module}", *arguments]
    done = subprocess.run(
        argv, env=dict(env), cwd=checkout or CHECKOUT, capture_output=True, text=True, timeout=RUN_SECONDS
    )
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


@contextmanager
def a_place() -> Iterator[Place]:
    with local_stack() as stack:
        yield Place(stack)
