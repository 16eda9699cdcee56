"""The format of a dead letter, both ways: made of a rejected record, and read back from the dead letters' topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final, NamedTuple

from jobstatus_consumer.records import Headers, Log, RawRecord, Rejected

PREFIX: Final = "jobstatus.dlq."
"""Begins the name of every header that is ours; the original's own headers are in the letter as well."""


class DeadLetter(NamedTuple):
    """A record for the dead letters' topic: the original's key, value and timestamp (ms, or 0), and our headers."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, bytes | None]]


def dead_letter(rejected: Rejected, group: str, now: float) -> DeadLetter:
    """The dead letter for `rejected`, which `group` saw at `now` (seconds since 1970).

    It holds the original unchanged. Our headers say where the original was and why it was rejected; none of them holds
    a value of the row. Topic id, partition and offset identify the original.
    """
    raw = rejected.raw
    ours = {
        "topic": raw.topic,
        "topic.id": _topic_id(raw),
        "log.id": raw.log_id,
        "partition": str(raw.partition),
        "offset": str(raw.offset),
        # a redrive orders events by it, and a topic with LogAppendTime gives the letter a timestamp of its own
        "timestamp": str(raw.timestamp),
        "group": group,
        "stage": rejected.stage,
        "reason": rejected.reason,
        "detail": rejected.detail,
        "error.class": rejected.error_class,
        "sqlstate": rejected.sqlstate,
        "where": rejected.where,
        "first.seen": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        "version": version("jobstatus"),
    }
    headers = [*raw.headers, *((PREFIX + name, text.encode()) for name, text in ours.items() if text)]
    return DeadLetter(raw.key, raw.value, max(raw.timestamp, 0), headers)


def sendable_time(letter: DeadLetter, now: float) -> int:
    """The timestamp in milliseconds to send a letter with at `now` (seconds since 1970).

    It is the original's, but no later than `now`: a broker refuses a time more than an hour ahead. The original's own
    timestamp is in a header.
    """
    return min(letter.timestamp, int(now * 1000))


def _topic_id(raw: RawRecord) -> str:
    return raw.log_id.removeprefix(f"{raw.topic}/").split("/", 1)[0]


class Letter(NamedTuple):
    """A dead letter as it was read. `partition` and `offset` are the letter's own place in its topic."""

    partition: int
    offset: int
    original: RawRecord
    """the rejected record as it was in the events' topic, with its position there"""
    stage: str
    reason: str
    detail: str
    error_class: str
    sqlstate: str
    where: str
    first_seen: str
    group: str
    version: str

    @property
    def identity(self) -> tuple[str, int]:
        """Log and offset of the original: the same in every letter of it."""
        return self.original.log_id, self.original.offset

    @property
    def position(self) -> str:
        """Partition and offset of the original, as `P:N`."""
        return f"{self.original.partition}:{self.original.offset}"

    @property
    def cause(self) -> tuple[str, str, str]:
        """Stage, reason, and the object or SQLSTATE that the database named: letters are grouped by it."""
        return self.stage, self.reason, self.where or self.sqlstate

    @property
    def job_id(self) -> str | None:
        """The job by the record's key; None without a key and for one that is not UTF-8."""
        try:
            return self.original.key.decode() if self.original.key else None
        except UnicodeDecodeError:
            return None

    def without_value(self) -> Letter:
        """The letter without the original's value and headers, so that many fit in memory."""
        return self._replace(original=self.original._replace(value=None, headers=()))


def letter_of(raw: RawRecord) -> Letter | None:
    """The dead letter in a record of the dead letters' topic; None for a record that no consumer of ours wrote."""
    ours = _our_headers(raw.headers)
    topic, partition, offset = ours.get("topic", ""), ours.get("partition", ""), ours.get("offset", "")
    if not (topic and partition.isdecimal() and offset.isdecimal()):
        return None
    timestamp = ours.get("timestamp", "")
    original = RawRecord(
        topic=topic,
        partition=int(partition),
        offset=int(offset),
        timestamp=int(timestamp) if timestamp.lstrip("-").isdecimal() else raw.timestamp,
        key=raw.key,
        value=raw.value,
        headers=[item for item in raw.headers if not item[0].startswith(PREFIX)],
        log_id=ours.get("log.id") or Log(topic, ours.get("topic.id", "-"), int(partition)).id,
    )
    return Letter(
        partition=raw.partition,
        offset=raw.offset,
        original=original,
        stage=ours.get("stage", ""),
        reason=ours.get("reason", ""),
        detail=ours.get("detail", ""),
        error_class=ours.get("error.class", ""),
        sqlstate=ours.get("sqlstate", ""),
        where=ours.get("where", ""),
        first_seen=ours.get("first.seen", "").replace("+00:00", "Z"),
        group=ours.get("group", ""),
        version=ours.get("version", ""),
    )


def _our_headers(headers: Headers) -> Mapping[str, str]:
    """Our headers by name, without the prefix."""
    return {
        name.removeprefix(PREFIX): (text or b"").decode("utf-8", "replace")
        for name, text in headers
        if name.startswith(PREFIX)
    }
