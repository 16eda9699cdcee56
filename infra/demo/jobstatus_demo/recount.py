"""The evidence for the verdict: the whole topic read again, and every row compared with what the topic says.

It uses no code of the consumer: it decodes with the shared schema and applies the events one by one, in log order.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, Message, TopicPartition
from jobstatus_schemas import UndecodableError, decode
from jobstatus_schemas.protocol import LATE_HEADER

from jobstatus_demo.errors import DemoError
from jobstatus_demo.stage import Stage

READ_SECONDS: Final = 60.0
AT_ONCE: Final = 1000
_MICROSECOND: Final = 1_000_000


class Row(NamedTuple):
    """A row of the table, or what it must be; times in microseconds since 1970-01-01 UTC."""

    status: str
    error_message: str | None
    attempt: int | None
    worker_id: str | None
    occurred_at: int
    event_id: str
    log_id: str
    log_offset: int


class Reported(NamedTuple):
    """An event of the topic: the row that it makes, and what decides whether it may."""

    job_id: str
    row: Row
    time: int
    """`occurred_at`, but no later than the broker's own time of the append"""
    late: bool
    """marked by the producer: sent long after it was made, or perhaps sent twice"""


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


def apply_one_by_one(events: Iterable[Reported]) -> dict[str, Row]:
    """The table that these events must make; they come in log order for each partition.

    This is the rule as far as the demo needs it: one log for each job, and no attempts. The last event of a job
    counts, except a late one that is not newer than everything before it.
    """
    rows: dict[str, Row] = {}
    latest: dict[str, int] = {}
    for event in events:
        newest = latest.get(event.job_id)
        if newest is None or not event.late or event.time > newest:
            rows[event.job_id] = event.row
            latest[event.job_id] = event.time if newest is None else max(newest, event.time)
    return rows


def compare(
    events: Sequence[Reported],
    rows: Mapping[str, Row],
    reported: Counter[tuple[str, str]],
    last_status: Mapping[str, str],
) -> Recount:
    """Compare the table with the topic, and both with what the workers reported."""
    wanted = apply_one_by_one(events)
    there = {job_id: row for job_id, row in rows.items() if job_id in wanted}
    behind = [job_id for job_id, row in there.items() if _position(row) != _position(wanted[job_id])]
    unexpected = [job_id for job_id, row in rows.items() if last_status.get(job_id) != row.status]
    arrived = Counter((event.job_id, event.row.status) for event in events)
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


def recount(stage: Stage) -> Recount:
    """Read the whole topic and the whole table, and compare. Blocks for about a minute at most.

    Raises `DemoError` if the topic cannot be read or holds something that no worker sent.
    """
    events = read_topic(stage.topic.reader, stage.topic.name, stage.topic.log_ids(), stage.topic.ends())
    return compare(events, read_rows(stage), stage.plan.reported(), stage.plan.last_status())


def read_rows(stage: Stage) -> dict[str, Row]:
    """The whole table, by job."""
    found = {}
    for job_id, status, message, attempt, worker, at, event_id, log_id, offset in stage.tables.query(
        "SELECT job_id, status, error_message, attempt, worker_id, occurred_at, event_id::text, log_id, log_offset"
        " FROM {table}"
    ):
        found[job_id] = Row(status, message, attempt, worker, _micros(at), event_id, log_id, offset)
    return found


def _micros(at: datetime) -> int:
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * _MICROSECOND + since.microseconds


def read_topic(reader: Any, topic: str, log_ids: Mapping[int, str], ends: Mapping[int, int]) -> list[Reported]:
    """Every event of the topic, in log order for each partition; `reader` is a consumer that is in no group."""
    reader.assign([TopicPartition(topic, number, 0) for number in ends])
    left = {number for number, end in ends.items() if end > 0}
    events: list[Reported] = []
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


def _event(message: Any, log_ids: Mapping[int, str]) -> Reported:
    try:
        found = decode(message.value())
    except UndecodableError as error:
        raise _foreign(message, str(error)) from None
    if message.key() != found.job_id.encode() or found.attempt is not None:
        raise _foreign(message, "its key or its attempt is not a worker's")
    _, appended = message.timestamp()
    row = Row(
        found.status,
        found.error_message,
        None,
        found.worker_id,
        found.occurred_at,
        found.event_id,
        log_ids[message.partition()],
        message.offset(),
    )
    late = any(name == LATE_HEADER for name, _ in message.headers() or ())
    # the broker's clock has milliseconds: the event is no later than the end of that millisecond
    return Reported(found.job_id, row, min(found.occurred_at, appended * 1000 + 999), late)


def _foreign(message: Any, why: str) -> DemoError:
    place = f"{message.topic()}[{message.partition()}] at offset {message.offset()}"
    return DemoError(f"no worker of the demo sent the record in {place}: {why}")
