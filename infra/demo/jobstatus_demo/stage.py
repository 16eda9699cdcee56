"""The topic and the tables of one run: made, looked at, and removed. Nothing else of the servers is touched."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import BrokerError
from jobstatus_consumer.kafka.client import admin_properties, consumer_properties, describe, make
from jobstatus_consumer.kafka.topics import Topics, dead_letters_plan, events_plan
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import Limits, migrate
from jobstatus_consumer.store.connection import connect
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from jobstatus_demo.errors import DemoError
from jobstatus_demo.memory import MemoryTopics
from jobstatus_demo.plan import Plan
from jobstatus_demo.recount import Row, read_rows, read_topic
from jobstatus_demo.servers import Servers

logger = logging.getLogger("jobstatus.demo")

PARTITIONS: Final = 6
RETENTION_DAYS: Final = 1.0
ANSWER_SECONDS: Final = 10.0
ASK_EVERY: Final = 0.05
PASSING: Final = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError._TRANSPORT)
NEVER_THERE: Final = (KafkaError.GROUP_ID_NOT_FOUND, KafkaError.UNKNOWN_TOPIC_OR_PART)
LIMITS: Final = Limits(statement=30.0)

T = TypeVar("T")

NOTE: Final = """
CREATE UNLOGGED TABLE {notes} (source text, operation text, xid xid8, pid integer, since timestamptz);
CREATE FUNCTION {note}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO {notes} SELECT TG_TABLE_NAME, TG_OP, pg_current_xact_id(), pid, backend_start
  FROM pg_stat_get_activity(pg_backend_pid());
  RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON {before} FOR EACH STATEMENT EXECUTE FUNCTION {note}();
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {note}();
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON {progress} FOR EACH STATEMENT EXECUTE FUNCTION {note}();
"""
"""Who writes is noted by the tables themselves, whoever else uses the server: each statement with its transaction and
its connection. It costs both parts the same for each transaction."""


class Noted(NamedTuple):
    """What the tables noted of one part: transactions, connections that wrote, statements into the main table."""

    transactions: int
    connections: int
    statements: int


class Counters(NamedTuple):
    """The server's own counters: sessions of this database, and transaction ids given out."""

    sessions: int
    xids: int


class Stage:
    """One run's tables, topic and group, through connections of the demo's own."""

    def __init__(self, plan: Plan, settings: Settings, servers: Servers) -> None:
        self.plan = plan
        self.settings = settings
        self.in_memory = servers.kafka == "memory"
        self.is_alone = servers.postgres == "local"
        """nobody else uses the database, so that the server's own counters are about this run alone"""
        self.before = f"{plan.table}_before"
        self.topics = (MemoryTopics if self.in_memory else Topics)(settings)
        self._connection = self.connect()
        properties = {**consumer_properties(settings, {"log_level": 0}), "group.id": settings.group_id}
        # never subscribes, and so is no member
        self._observer: Any = make(Consumer, properties)

    def connect(self) -> Connection[TupleRow]:
        """A connection under another name than the consumer's."""
        return connect(make_conninfo(self.settings.database, application_name="jobstatus-demo"), LIMITS)

    def close(self) -> None:
        """End the demo's own connections."""
        self._connection.close()
        self._observer.close()

    # -- making and removing ----------------------------------------------------------------------------------------

    def make(self) -> None:
        """The topics and the tables."""
        self._make_topics()
        migrate(self.settings.database, self.settings.table)
        self._run(
            "CREATE TABLE {before} (job_id text PRIMARY KEY, status text, error_message text, worker_id text,"
            " updated_at timestamptz) WITH (fillfactor = 70)"
        )
        rows = [(job.job_id,) for job in self.plan.all_jobs]
        with self._connection.cursor() as cursor, cursor.copy(self._sql("COPY {before} (job_id) FROM STDIN")) as copy:
            for row in rows:
                copy.write_row(row)
        self._run(NOTE)

    def _make_topics(self) -> None:
        if self.in_memory:
            self.topics.partitions(self.settings.topic)  # asking makes it
            return
        copies = min(3, self.topics.brokers())
        self.topics.create(events_plan(self.settings, PARTITIONS, copies, RETENTION_DAYS))
        self.topics.create(dead_letters_plan(self.settings, 1, copies, RETENTION_DAYS))

    def remove(self) -> None:
        """Everything that `make` made, as far as it is there; what cannot be removed is said."""
        self._run("DROP TABLE IF EXISTS {before}, {table}, {progress}, {notes}; DROP FUNCTION IF EXISTS {note}()")
        if not self.in_memory:
            self._remove_topics()

    def _remove_topics(self) -> None:
        admin = make(AdminClient, admin_properties(self.settings))
        names = [self.settings.topic, self.settings.dead_letter_topic]
        going = {
            **{f"the topic {name}": end for name, end in admin.delete_topics(names).items()},
            **{f"the group {name}": end for name, end in admin.delete_consumer_groups([self.plan.name]).items()},
        }
        for what, end in going.items():
            try:
                end.result(ANSWER_SECONDS)
            except KafkaException as error:
                if error.args[0].code() not in NEVER_THERE:
                    logger.warning("%s was not removed: %s", what, describe(error))

    # -- looking ----------------------------------------------------------------------------------------------------

    def now_in_table(self) -> int:
        """How many events the database has, by its own progress."""
        return int(self._one("SELECT coalesce(sum(next_offset), 0) FROM {progress}"))

    def progress(self) -> dict[int, int]:
        """The next offset of each partition, as the database knows it."""
        rows = self._ask("SELECT log_id, next_offset FROM {progress}")
        return {int(log_id.split("/")[2]): offset for log_id, offset in rows}

    def consumer_connections(self) -> int:
        """How many connections the consumer has at this moment."""
        return int(self._one("SELECT count(*) FROM pg_stat_activity WHERE application_name = {}", self.plan.name))

    def consumer_is_in(self) -> bool:
        """Whether the group has its member; in memory nobody knows, so whether it is connected to the database."""
        if self.in_memory:
            return self.consumer_connections() > 0
        try:
            return self.topics.group_state(self.plan.name)[0] == "STABLE"
        except BrokerError:
            return False  # there is no such group yet

    def noted_before(self) -> Noted:
        """The first part's transactions and connections."""
        return self._noted(self.before, "UPDATE", [self.before])

    def noted_after(self) -> Noted:
        """The second part's."""
        return self._noted(self.plan.table, "INSERT", [self.plan.table, f"{self.plan.table}_progress"])

    def _noted(self, main: str, operation: str, sources: list[str]) -> Noted:
        ((transactions, connections, statements),) = self._ask(
            "SELECT count(DISTINCT xid), count(DISTINCT (pid, since)), count(*) FILTER (WHERE source = {}"
            " AND operation = {}) FROM {notes} WHERE source = ANY ({})",
            main,
            operation,
            sources,
        )
        return Noted(transactions, connections, statements)

    def counters(self) -> Counters:
        """What the server counts by itself, for everybody who uses it."""
        ((sessions, xid),) = self._ask(
            "SELECT sessions, pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
            " FROM pg_stat_database WHERE datname = current_database()"
        )
        return Counters(sessions, xid)

    def opened(self, start: Counters, end: Counters, noted: Noted) -> int:
        """How many connections were opened between two readings: as the server counts, where nobody else uses it,
        or else those that wrote."""
        return end.sessions - start.sessions if self.is_alone else noted.connections

    def committed(self) -> dict[int, int]:
        """The group's offsets."""
        found = patiently(lambda: self._observer.committed(self._partitions(), timeout=ANSWER_SECONDS))
        return {item.partition: item.offset for item in found if item.offset >= 0}

    def ends(self) -> dict[int, int]:
        """The offset after the last event of each partition."""
        return {item.partition: self._end(item) for item in self._partitions()}

    def _end(self, partition: TopicPartition) -> int:
        marks = patiently(lambda: self._observer.get_watermark_offsets(partition, timeout=ANSWER_SECONDS))
        if marks is None:
            raise DemoError(f"the broker did not give the end of {partition.topic}[{partition.partition}]")
        return int(marks[1])

    def _partitions(self) -> list[TopicPartition]:
        numbers = self.topics.partitions(self.settings.topic)
        return [TopicPartition(self.settings.topic, number) for number in numbers]

    def read_topic(self) -> list[Event]:
        """Every event of the topic again."""
        return read_topic(self._observer, self.settings.topic, self.topics.topic_id(self.settings.topic), self.ends())

    def read_rows(self) -> dict[str, Row]:
        """The whole table."""
        return read_rows(self._connection, self.plan.table)

    # -- statements -------------------------------------------------------------------------------------------------

    def _sql(self, text: str, *values: object) -> sql.Composed:
        table = self.plan.table
        names = {
            "table": table,
            "progress": f"{table}_progress",
            "before": self.before,
            "notes": f"{table}_notes",
            "note": f"{table}_note",
        }
        identifiers = {key: sql.Identifier(name) for key, name in names.items()}
        return sql.SQL(text).format(*map(sql.Literal, values), **identifiers)

    def _run(self, text: str) -> None:
        self._connection.execute(self._sql(text), prepare=False)

    def _ask(self, text: str, *values: object) -> list[TupleRow]:
        return self._connection.execute(self._sql(text, *values)).fetchall()

    def _one(self, text: str, *values: object) -> Any:
        ((value,),) = self._ask(text, *values)
        return value


def patiently(question: Callable[[], T]) -> T:
    """The broker's answer; where it asks for patience, such as for the leader of a new topic, it is asked again."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            return question()
        except KafkaException as error:
            inner = error.args[0]
            if (not inner.retriable() and inner.code() not in PASSING) or time.monotonic() > deadline:
                raise DemoError(f"the broker does not answer: {describe(error)}") from None
        time.sleep(ASK_EVERY)


@contextmanager
def a_stage(plan: Plan, settings: Settings, servers: Servers, *, keep: bool = False) -> Iterator[Stage]:
    """The stage of one run, removed at the end unless it is to be kept, however the run ends."""
    with ExitStack() as on_exit:
        stage = Stage(plan, settings, servers)
        on_exit.callback(stage.close)
        if not keep:
            on_exit.callback(stage.remove)
        stage.make()
        yield stage
