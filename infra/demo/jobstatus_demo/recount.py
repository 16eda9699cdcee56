"""The verdict's evidence: the whole topic read again, every row compared with what the topic says it must be.

It shares neither the fold nor the SQL guard with the consumer: the events are applied one by one, in log order.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, Message, TopicPartition
from jobstatus_consumer.core.decode import Decoder
from jobstatus_consumer.core.rule import RowState, advance, decide
from jobstatus_consumer.records import Event, Log, RawRecord, Rejected
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from jobstatus_demo.errors import DemoError

READ_SECONDS: Final = 60.0
AT_ONCE: Final = 1000
_MICROSECOND: Final = 1_000_000


class Row(NamedTuple):
    """A row of the table, or what it must be."""

    status: str
    error_message: str | None
    attempt: int | None
    worker_id: str | None
    occurred_at: int
    event_id: str
    log_id: str
    log_offset: int


@dataclass(frozen=True)
class Recount:
    """What was found; jobs by id, updates by (job, status)."""

    events: int
    """in the topic"""
    rows: int
    """in the table"""
    missing: list[str]
    """jobs with events and without a row"""
    behind: list[str]
    """jobs whose row does not have the event that counts"""
    different: list[str]
    """jobs whose row says something else than the event at its position"""
    unexpected: list[str]
    """jobs that did not end as their worker said last, and rows of no job"""
    never_arrived: int
    """updates that a worker reported and the topic does not have"""

    @property
    def lost(self) -> int:
        """Updates and rows that are not where they must be."""
        wrong = {*self.missing, *self.behind, *self.different, *self.unexpected}
        return self.never_arrived + len(wrong)


def apply_one_by_one(events: Iterable[Event]) -> dict[str, Row]:
    """What the table must be after these events, given in log order for each partition."""
    states: dict[str, RowState] = {}
    rows: dict[str, Row] = {}
    for event in events:
        before = states.get(event.job_id)
        if decide(before, event) == "applied":
            states[event.job_id] = advance(before, event)
            rows[event.job_id] = _row_of(event, rows.get(event.job_id))
    return rows


def _row_of(event: Event, before: Row | None) -> Row:
    content = event.content
    attempt = before.attempt if content.attempt is None and before is not None else content.attempt
    return Row(
        content.status,
        content.error_message,
        attempt,
        content.worker_id,
        content.occurred_at,
        content.event_id,
        event.log_id,
        event.offset,
    )


def compare(
    events: Sequence[Event], rows: Mapping[str, Row], reported: Counter[tuple[str, str]], last_status: Mapping[str, str]
) -> Recount:
    """Hold the table against the topic, and both against what the workers reported."""
    wanted = apply_one_by_one(events)
    there = {job_id: row for job_id, row in rows.items() if job_id in wanted}
    behind = [job_id for job_id, row in there.items() if _position(row) != _position(wanted[job_id])]
    unexpected = [job_id for job_id, row in rows.items() if last_status.get(job_id) != row.status]
    arrived = Counter((event.job_id, event.status) for event in events)
    return Recount(
        events=len(events),
        rows=len(rows),
        missing=sorted(wanted.keys() - rows.keys()),
        behind=sorted(behind),
        different=sorted(job_id for job_id in there.keys() - set(behind) if there[job_id] != wanted[job_id]),
        unexpected=sorted(unexpected),
        never_arrived=(reported - arrived).total(),
    )


def _position(row: Row) -> tuple[str, int]:
    return row.log_id, row.log_offset


def read_rows(connection: Connection[TupleRow], table: str) -> dict[str, Row]:
    """The whole table by job; times in microseconds."""
    query = sql.SQL(
        "SELECT job_id, status, error_message, attempt, worker_id, occurred_at, event_id::text, log_id,"
        " log_offset FROM {}"
    ).format(sql.Identifier(table))
    found = {}
    for job_id, status, message, attempt, worker, at, event_id, log_id, offset in connection.execute(query):
        found[job_id] = Row(status, message, attempt, worker, _micros(at), event_id, log_id, offset)
    return found


def _micros(at: datetime) -> int:
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * _MICROSECOND + since.microseconds


def read_topic(reader: Any, topic: str, topic_id: str, ends: Mapping[int, int]) -> list[Event]:
    """Every event of the topic, in log order for each partition; `reader` is a consumer that is in no group."""
    reader.assign([TopicPartition(topic, number, 0) for number in ends])
    log_ids = {number: Log(topic, topic_id, number).id for number in ends}
    left = {number for number, end in ends.items() if end > 0}
    events: list[Event] = []
    deadline = time.monotonic() + READ_SECONDS
    while left:
        if time.monotonic() > deadline:
            raise DemoError(f"the topic could not be read again within {READ_SECONDS:.0f} s")
        for message in reader.consume(AT_ONCE, 0.5):
            if _is_event(message):
                events.append(_event(message, log_ids))
                if message.offset() + 1 >= ends[message.partition()]:
                    left.discard(message.partition())
    reader.unassign()
    return events


def _is_event(message: Message) -> bool:
    error = message.error()
    if error is None:
        return True
    if error.code() == KafkaError._PARTITION_EOF or error.retriable():
        return False
    raise DemoError(f"the topic could not be read again: {error.str()}")


def _event(message: Any, log_ids: Mapping[int, str]) -> Event:
    raw = RawRecord(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        message.headers() or (),
        log_ids[message.partition()],
    )
    found = Decoder().decode(raw)
    if isinstance(found, Rejected):
        raise DemoError(f"there is something in the topic that no worker sent: {found.detail}")
    return found
