"""The values that flow through the consumer. Each is made once and never changed.

    RawRecord ── decode ──> Event ────┐
                   └──────> Rejected ─┴─ BatchBuilder ──> Batch ── Store.write ──> Written

A batch's `ranges` say which offsets may be committed once it is written.
Records and events are tuples because a consumer makes tens of thousands of them a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from jobstatus_schemas.event import JobStatusEvent

from jobstatus_consumer.words import rfc3339_of

NO_EPOCH: Final = -1
"""No leader epoch is known."""

Headers = Sequence[tuple[str, bytes | None]]


class Log(NamedTuple):
    """One partition's log. A row stores its `id`.

    A topic that is made again has another topic id, and so it is another log. After an accepted loss of offsets the log
    is another one as well: it has the next `incarnation`.
    """

    topic: str
    topic_id: str
    partition: int
    incarnation: int = 0

    @property
    def id(self) -> str:
        """`topic/topic id/partition`, with `/incarnation` after an accepted loss."""
        base = f"{self.topic}/{self.topic_id}/{self.partition}"
        return f"{base}/{self.incarnation}" if self.incarnation else base

    @classmethod
    def parse(cls, log_id: str) -> Log:
        """The log with this `id`. Raises `ValueError` or `TypeError` for a text that is no log's id."""
        topic, topic_id, *numbers = log_id.split("/")
        return cls(topic, topic_id, *map(int, numbers))


class RawRecord(NamedTuple):
    """A record as the broker gave it. `timestamp` is in milliseconds since 1970-01-01 UTC; -1 if there is none."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    log_id: str


def record_size(raw: RawRecord) -> int:
    """The bytes of a record's key, value and headers."""
    size = len(raw.key or b"") + len(raw.value or b"")
    if raw.headers:
        size += header_bytes(raw.headers)
    return size


def header_bytes(headers: Headers) -> int:
    """The bytes of the names and values of `headers`."""
    return sum(len(name) + len(text or b"") for name, text in headers)


class Event(NamedTuple):
    """What a producer reported, and where in which log it stands.

    The rule compares events by `time` and not by `occurred_at`; both are in microseconds since 1970-01-01 UTC. `time`
    is `occurred_at`, but no later than the end of the millisecond in which the broker appended the record.
    """

    content: JobStatusEvent
    """the decoded event, whole: a new field of the event needs no change here"""
    time: int
    late: bool
    log_id: str
    offset: int
    raw: RawRecord

    @property
    def job_id(self) -> str:
        return self.content.job_id

    @property
    def status(self) -> str:
        return self.content.status

    @property
    def attempt(self) -> int | None:
        return self.content.attempt

    def as_dict(self) -> dict[str, Any]:
        """Every field that was reported, by name, and `late`; the time in RFC 3339."""
        content = self.content
        return {**content._asdict(), "occurred_at": rfc3339_of(content.occurred_at), "late": self.late}


class Rejected(NamedTuple):
    """A record that cannot become a row, and why. No field but `raw` holds a value of the row."""

    raw: RawRecord
    stage: str
    """`decode`, `validate` or `write`"""
    reason: str
    """a short stable word for counting, such as `trailing_bytes`"""
    detail: str
    """for a person, without values"""
    error_class: str = ""
    sqlstate: str = ""
    where: str = ""


class LogRange(NamedTuple):
    """The offsets of one partition that a batch covers: `start` to before `end`, gaps included.

    `epoch` is the leader epoch of the last record before `end`.
    """

    topic: str
    partition: int
    log_id: str
    start: int
    end: int
    epoch: int = NO_EPOCH


class TopicProgress(NamedTuple):
    """What the database has of a topic, by the id of each log: the next offset, and the leader epoch before it."""

    offsets: Mapping[str, int]
    epochs: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Batch:
    """What is written at once: the events in log order, the rejected records, and the offsets that both cover."""

    events: Sequence[Event]
    rejected: Sequence[Rejected]
    ranges: Sequence[LogRange]

    @property
    def records(self) -> int:
        """How many records of the log this batch accounts for."""
        return len(self.events) + len(self.rejected)

    def raw_records(self) -> Iterator[RawRecord]:
        """The records, as they came."""
        for event in self.events:
            yield event.raw
        for item in self.rejected:
            yield item.raw

    def without(self, partitions: Collection[int]) -> Batch | None:
        """The batch without the records of `partitions`; None if nothing is left."""
        if not partitions:
            return self
        ranges = [item for item in self.ranges if item.partition not in partitions]
        if not ranges:
            return None
        events = [event for event in self.events if event.raw.partition not in partitions]
        rejected = [item for item in self.rejected if item.raw.partition not in partitions]
        return Batch(events, rejected, ranges)


class Projected(NamedTuple):
    """What a write did to the target, in numbers of jobs and statements."""

    written: int = 0
    """rows of the target that were changed"""
    inserted: int = 0
    """rows of the target that were made"""
    parked: int = 0
    """jobs that wait from now on"""
    arrived: int = 0
    """jobs that wait no longer"""
    not_ours: int = 0
    """states whose key is NULL"""
    held: int = 0
    """rows that a BEFORE trigger of the target left as they were"""

    def plus(self, other: Projected) -> Projected:
        """The sums."""
        return Projected(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True)
class Written:
    """What a write did, in numbers of events: `stale` by reason; `merged` into a later event of the same job.

    The events of the batch are the sum of applied, stale, merged and rejected ones.
    """

    applied: int
    merged: int = 0
    stale: Mapping[str, int] = field(default_factory=dict)
    rejected: Sequence[Rejected] = ()
    statements: int = 0
    seconds: float = 0.0
    projected: Projected | None = None
    """what became of the rows of the target; None without a target"""

    def plus(self, other: Written) -> Written:
        """The sums, without what became of the target."""
        return Written(
            applied=self.applied + other.applied,
            merged=self.merged + other.merged,
            stale=Counter(self.stale) + Counter(other.stale),
            rejected=(*self.rejected, *other.rejected),
            statements=self.statements + other.statements,
            seconds=self.seconds + other.seconds,
        )
