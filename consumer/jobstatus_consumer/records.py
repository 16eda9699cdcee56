"""The values that flow through the consumer, each made once and never changed.

    RawRecord ─ decode ─> Event      ─┐
                     └──> Rejected   ─┴─ batch ─> Batch ─ writer ─> Outcome ─> offsets to commit

They are tuples because tens of thousands a second are made of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Headers = Sequence[tuple[str, bytes | None]]


class Log(NamedTuple):
    """One partition's log, of which `id` is what a row remembers.

    A topic made again has another topic id, and so another log; so has a log whose loss was accepted (`generation`).
    """

    topic: str
    topic_id: str
    partition: int
    incarnation: int = 0

    @property
    def id(self) -> str:
        """`topic/topic id/partition`, with `/generation` after an accepted loss."""
        base = f"{self.topic}/{self.topic_id}/{self.partition}"
        return f"{base}/{self.incarnation}" if self.incarnation else base

    @classmethod
    def parse(cls, log_id: str) -> Log:
        """The log of an `id`; raises `ValueError` for a text that is none."""
        topic, topic_id, *numbers = log_id.split("/")
        return cls(topic, topic_id, *map(int, numbers))


class RawRecord(NamedTuple):
    """A record as the broker gave it. `timestamp` is in milliseconds since 1970-01-01 UTC, -1 where there is none."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    log_id: str


class Event(NamedTuple):
    """A decoded event with its position; the order's time is `time`, not `occurred_at` (both in microseconds).

    `time` is `occurred_at`, but no later than the end of the millisecond in which the record was appended.
    After folding, `time` is the highest of the events that were merged into this one.
    """

    job_id: str
    status: str
    error_message: str | None
    attempt: int | None
    worker_id: str | None
    occurred_at: int
    event_id: str
    time: int
    late: bool
    log_id: str
    offset: int
    raw: RawRecord


class Rejected(NamedTuple):
    """A record that cannot become a row: why, for its dead letter. No value of the row is in here but `raw`."""

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
    """The offsets of one partition that a batch covers: `start` to before `end`, gaps included."""

    topic: str
    partition: int
    log_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What is written at once: the events in log order, what was rejected on the way, and the spans they cover."""

    events: Sequence[Event]
    rejected: Sequence[Rejected]
    spans: Sequence[LogRange]

    @property
    def records(self) -> int:
        """How many records of the log this batch accounts for."""
        return len(self.events) + len(self.rejected)

    def without(self, partitions: Collection[int]) -> Batch | None:
        """The batch less what came from `partitions`; None where nothing is left."""
        if not partitions:
            return self
        spans = [span for span in self.spans if span.partition not in partitions]
        if not spans:
            return None
        events = [event for event in self.events if event.raw.partition not in partitions]
        rejected = [item for item in self.rejected if item.raw.partition not in partitions]
        return Batch(events, rejected, spans)


@dataclass(frozen=True, slots=True)
class Written:
    """What a write did, in numbers of events: `stale` by reason, `merged` into a later event of the same job.

    `applied` + stale + merged + rejected = the batch's events.
    """

    applied: int
    merged: int = 0
    stale: Mapping[str, int] = field(default_factory=dict)
    rejected: Sequence[Rejected] = ()
    statements: int = 0
    seconds: float = 0.0
