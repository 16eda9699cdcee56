"""One deployment for a test: topics, tables, a group, and consumers as real processes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from jobstatus_consumer.core.decode import Decoder
from jobstatus_consumer.kafka.messages import raw_record
from jobstatus_consumer.records import Event, Log, RawRecord, Rejected
from jobstatus_schemas import JobStatusEvent, encode
from law.model import Row, one_by_one
from support import forked
from support.forked import COMMAND, Command
from support.inside import run_inside
from support.topics import end_offset
from support.waiting import until


@dataclass
class ConsumerProcess:
    """`jobstatus consume` as a child; its log goes to a file."""

    process: subprocess.Popen[bytes]
    log: Path
    http_port: int = 0

    def text(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def says(self, words: str, timeout: float = 60.0, count: int = 1) -> None:
        """Wait until the log holds `words` so many times."""

        def found() -> bool:
            if self.text().count(words) >= count:
                return True
            assert self.process.poll() is None, f"the consumer ended ({self.process.returncode}): {self.text()[-3000:]}"
            return False

        until(found, f"the consumer's log says {words!r}; it says: {self.text()[-2000:]}", timeout)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def stop(self, timeout: float = 30.0) -> int:
        self.signal()
        return self.process.wait(timeout)


@dataclass
class Deployment:
    """Everything that one test's consumers share."""

    bootstrap: str
    database_url: str
    topic: str
    group: str
    folder: Path
    table: str = "jobs"
    partitions: int = 4
    consumers: list[ConsumerProcess] = field(default_factory=list)
    without: set[str] = field(default_factory=set)
    more: dict[str, str] = field(default_factory=dict)
    last_summary: dict[str, Any] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBSTATUS_")}
        wanted = {
            **kept,
            "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "JOBSTATUS_DATABASE_URL": self.database_url,
            "JOBSTATUS_TOPIC": self.topic,
            "JOBSTATUS_GROUP_ID": self.group,
            "JOBSTATUS_TABLE": self.table,
            "JOBSTATUS_HTTP_ADDRESS": "off",
            "JOBSTATUS_KAFKA_SESSION_TIMEOUT_MS": "6000",
            "JOBSTATUS_KAFKA_HEARTBEAT_INTERVAL_MS": "500",
            **self.more,
        }
        return {name: value for name, value in wanted.items() if name not in self.without}

    @property
    def variables(self) -> dict[str, str]:
        """Our own variables of `environ`, as `load_settings` and a producer take them."""
        return {name: value for name, value in self.environ.items() if name.startswith("JOBSTATUS_")}

    def run(
        self, *arguments: str, code: int | None = 0, timeout: float = 120.0, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end; `code` is the exit code it must have (None: any)."""
        done = forked.run(arguments, {**self.environ, **environ}, timeout)
        assert code is None or done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def set_up(self) -> None:
        run_inside(self, "topics", "create", "--partitions", str(self.partitions), "--replication", "1")
        run_inside(self, "migrate")

    def consumer(self, *arguments: str, wait: bool = True, **environ: str) -> ConsumerProcess:
        """Start a consumer; it is killed at the test's end if it still lives."""
        log = self.folder / f"consumer-{len(self.consumers)}.log"
        with log.open("wb") as out:
            process = Command[bytes](
                [COMMAND, "consume", *arguments], env={**self.environ, **environ}, stdout=out, stderr=subprocess.STDOUT
            )
        found = ConsumerProcess(process, log)
        self.consumers.append(found)
        if wait:
            found.says("reading")
        return found

    def watching(self, *arguments: str) -> ConsumerProcess:
        """Start another command that runs until it is stopped; what it prints goes to its file, log lines apart."""
        log = self.folder / f"watching-{len(self.consumers)}.log"
        with log.open("wb") as out:
            command = [COMMAND, *arguments]
            process = Command[bytes](command, env=self.environ, stdout=out, stderr=subprocess.DEVNULL)
        found = ConsumerProcess(process, log)
        self.consumers.append(found)
        return found

    def drain(self, *arguments: str, **environ: str) -> dict[str, Any]:
        """`consume --until-caught-up --json` in this process: its summary."""
        done = run_inside(self, "consume", "--until-caught-up", "--json", *arguments, code=0, **environ)
        self.last_summary = json.loads(done.stdout.splitlines()[-1])
        return self.last_summary

    def close(self) -> None:
        for consumer in self.consumers:
            if consumer.process.poll() is None:
                consumer.kill()

    # -- the topic

    def produce(self, records: Iterable[tuple[str | bytes | None, bytes | None, Sequence[tuple[str, bytes]]]]) -> None:
        """Put records (key, value, headers) on the topic, in order, all acknowledged."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "enable.idempotence": True,
            }
        )
        failed: list[Any] = []
        for key, value, headers in records:
            while True:
                try:
                    producer.produce(
                        self.topic,
                        key=key,
                        value=value,
                        headers=list(headers),
                        on_delivery=lambda error, _: failed.append(error) if error else None,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        assert producer.flush(60) == 0
        assert not failed, failed[:3]

    def produce_events(self, events: Iterable[JobStatusEvent]) -> None:
        self.produce((item.job_id, encode(item), ()) for item in events)

    def topic_id(self) -> str:
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        found = str(admin.describe_topics(TopicCollection([self.topic]))[self.topic].result(30).topic_id)
        return found.replace("+", "-").replace("/", "_")

    def records(self, topic: str | None = None) -> list[RawRecord]:
        """Everything that the topic holds, each partition in order."""
        return read_topic(self.bootstrap, topic or self.topic, self.topic_id())

    def dead_letters(self) -> list[RawRecord]:
        return self.records(f"{self.topic}.dlq")

    def committed(self) -> dict[int, int]:
        """What the group has committed, as next offsets; asked again while the coordinator is not there yet."""
        with self._group() as group:
            return self._committed(group)

    def ends(self) -> dict[int, int]:
        with self._group() as group:
            return self._ends(group)

    def caught_up(self, timeout: float = 60.0) -> None:
        """Wait until the group has committed everything that is there."""
        with self._group() as group:
            until(lambda: self._lag(group) == 0, "lag 0", timeout, every=0.2)

    def settled(self, timeout: float = 60.0) -> None:
        """Wait until the database itself knows everything that is there: after a seek back, the group's word is old."""

        of_this = f"SELECT next_offset FROM {self.table}_progress WHERE starts_with(log_id, %s)"
        log = f"{self.topic}/{self.topic_id()}/"

        def knows() -> bool:
            known = sum(int(offset) for (offset,) in self.query(of_this, log))
            return known == sum(self._ends(group).values())

        with self._group() as group:
            until(knows, "the database knows all offsets", timeout, every=0.2)

    def lag(self) -> int:
        with self._group() as group:
            return self._lag(group)

    @contextmanager
    def _group(self) -> Iterator[Consumer]:
        """A client that asks for the group's offsets, and is no member of it."""
        client = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.group})
        try:
            yield client
        finally:
            client.close()

    def _lag(self, group: Consumer) -> int:
        committed = self._committed(group)
        return sum(end - committed.get(number, 0) for number, end in self._ends(group).items())

    def _ends(self, group: Consumer) -> dict[int, int]:
        return {number: end_offset(group, self.topic, number) for number in range(self.partitions)}

    def _committed(self, group: Consumer) -> dict[int, int]:
        wanted = [TopicPartition(self.topic, number) for number in range(self.partitions)]

        def answer() -> list[TopicPartition]:
            try:
                return group.committed(wanted, timeout=20)
            except KafkaException as error:
                if error.args[0].code() not in (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS):
                    raise
                return []

        found = until(answer, "the group's coordinator answers")
        return {item.partition: item.offset for item in found if item.offset >= 0}

    # -- the table

    def query(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(text.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def rows(self) -> dict[str, Row]:
        """The table in the model's words."""
        found = self.query(
            "SELECT job_id, status, error_message, attempt, worker_id, "
            "(extract(epoch FROM occurred_at) * 1000000)::bigint, event_id::text, "
            f"(extract(epoch FROM latest_occurred_at) * 1000000)::bigint, log_id, log_offset FROM {self.table}"
        )
        return {str(job_id): Row(*values) for job_id, *values in found}

    def expected(self) -> dict[str, Row]:
        """The table as the sequential model makes it from the topic, without what does not decode."""
        return one_by_one({}, events_of(self.records()))

    def assert_exact(self) -> None:
        """The recount: the table is what the topic says, row by row."""
        expected, actual = self.expected(), self.rows()
        missing = sorted(expected.keys() - actual.keys())
        wrong = sorted(job for job in expected.keys() & actual.keys() if expected[job] != actual[job])
        assert not missing, f"{len(missing)} rows are missing, such as {missing[:3]}"
        assert not wrong, f"{len(wrong)} rows differ: " + "; ".join(
            f"{actual[j]} is not {expected[j]}" for j in wrong[:2]
        )
        assert actual.keys() == expected.keys()


def read_topic(bootstrap: str, topic: str, topic_id: str) -> list[RawRecord]:
    """All records of a topic, by partition and offset."""
    properties = {
        "group.id": f"reader-{uuid.uuid4()}",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        # also what no consumer of ours can decompress
        "receive.message.max.bytes": 2_000_000_000,
    }
    consumer = Consumer({"bootstrap.servers": bootstrap, "enable.partition.eof": True, **properties})
    try:
        partitions = sorted(consumer.list_topics(topic, timeout=20).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        return sorted(_read(consumer, topic, topic_id, len(partitions)), key=lambda raw: (raw.partition, raw.offset))
    finally:
        consumer.close()


def _read(consumer: Consumer, topic: str, topic_id: str, partitions: int) -> Iterator[RawRecord]:
    ended: set[int] = set()
    deadline = time.monotonic() + 120
    while len(ended) < partitions:
        assert time.monotonic() < deadline, f"the end of {topic} was not reached"
        for message in consumer.consume(5000, 0.2):
            if message.error() is not None:
                ended.add(message.partition())  # type: ignore[arg-type]
                continue
            number: Any = message.partition()
            log_id = Log(topic, topic_id, number).id
            offset: Any = message.offset()
            yield raw_record(message, topic, number, offset, log_id)


def events_of(records: Iterable[RawRecord]) -> list[Event]:
    decoded = [Decoder().decode(raw) for raw in records]
    return [item for item in decoded if not isinstance(item, Rejected)]


def made_events(count: int, jobs: int, *, seed: int = 1, start: int = 0, prefix: str = "job") -> list[JobStatusEvent]:
    """A steady mixture: each job's statuses in turn, over all jobs in a shuffled order; no attempts."""
    rng = random.Random(seed)
    words = ("pending", "processing", "success", "error")
    now = int(time.time() * 1e6)
    return [
        JobStatusEvent(
            str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            f"{prefix}-{rng.randrange(jobs)}",
            words[number % 4],
            "it broke: ü \"quoted\" \\ 'so'" if number % 4 == 3 else None,
            None,
            f"worker-{number % 16}",
            now + start + number,
        )
        for number in range(count)
    ]


@contextmanager
def locked(deployed: Deployment) -> Iterator[None]:
    """Another session holds the table."""
    with psycopg.connect(deployed.database_url) as connection:
        connection.execute(b"LOCK TABLE jobs IN EXCLUSIVE MODE")
        yield
        connection.rollback()


@contextmanager
def deployment(
    bootstrap: str, database_url: str, folder: Path, *, partitions: int = 4, environ: Mapping[str, str] | None = None
) -> Iterator[Deployment]:
    """A deployment with its topics and tables made, whose consumers are gone at the end."""
    name = uuid.uuid4().hex[:10]
    found = Deployment(bootstrap, database_url, f"events-{name}", f"group-{name}", folder, partitions=partitions)
    found.set_up()
    try:
        yield found
    except BaseException:
        for consumer in found.consumers[-4:]:
            lines = [line for line in consumer.text().splitlines() if "Batch updated" not in line]
            print(f"-- {consumer.log.name} ({consumer.process.poll()})", *lines[-25:], sep="\n")
        raise
    finally:
        found.close()
