"""The format of a dead letter, both ways: made of a rejected record, and read back from the dead letters' topic."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final, NamedTuple

from jobstatus_consumer.core.cut import FIRST_BYTES, CutBytes, CutHeaders, cut_parts
from jobstatus_consumer.records import Headers, Log, RawRecord, Rejected, header_bytes

PREFIX: Final = "jobstatus.dlq."
"""Begins the name of every header that is ours; the original's own headers are in the letter as well."""
MARKS: Final = tuple(PREFIX + name for name in ("cut", "size", "sha256"))
"""The headers that say which parts of the original are not in the letter whole: the size and digest of its value."""
LARGEST_PARTITION: Final = 2**31 - 1
LARGEST_OFFSET: Final = 2**63 - 1
LONGEST_TEXT: Final = 2000
"""Of a header of ours that another program wrote, no more is read."""
_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_TIMESTAMP: Final = re.compile(r"-?[0-9]{1,19}")


class DeadLetter(NamedTuple):
    """A record for the dead letters' topic: the original's key, value and timestamp (ms, or 0), and our headers."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, bytes | None]]


def dead_letter(rejected: Rejected, group: str, now: float, table: str = "") -> DeadLetter:
    """The dead letter for `rejected`, which `group` saw at `now` (seconds since 1970) and could not write to `table`.

    It holds the original unchanged, unless that was too large to keep. Our headers say where the original was and why
    it was rejected; none of them holds a value of the row. Topic id, partition and offset identify the original.
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
        "table": table,
        "stage": rejected.stage,
        "reason": rejected.reason,
        "detail": rejected.detail,
        "error.class": rejected.error_class,
        "sqlstate": rejected.sqlstate,
        "where": rejected.where,
        "first.seen": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        "version": version("jobstatus"),
        **_marks(raw.key, raw.value, raw.headers),
    }
    return DeadLetter(raw.key, raw.value, max(raw.timestamp, 0), [*raw.headers, *_as_headers(ours)])


def as_reference(letter: DeadLetter) -> DeadLetter | None:
    """The letter with only the first bytes of its original, for a topic that refuses it whole; None if that is no less.

    The original is in the log, at the position that the letter names. The original's headers are left out.
    """
    key, value = (_first_bytes(part) for part in (letter.key, letter.value))
    theirs = [pair for pair in letter.headers if not pair[0].startswith(PREFIX)]
    if (key, value) == (letter.key, letter.value) and header_bytes(theirs) <= FIRST_BYTES:
        return None
    before = [pair for pair in letter.headers if pair[0].startswith(PREFIX) and pair[0] not in MARKS]
    marks = _marks(key, value, CutHeaders() if theirs else ())
    return letter._replace(key=key, value=value, headers=[*before, *_as_headers(marks)])


def _first_bytes(part: bytes | None) -> bytes | None:
    return part if part is None or isinstance(part, CutBytes) or len(part) <= FIRST_BYTES else CutBytes.of(part)


def _marks(key: bytes | None, value: bytes | None, headers: Headers) -> dict[str, str]:
    """Our headers about what was cut; none for a letter with its whole original."""
    cut = ",".join(cut_parts(key, value, headers))
    if not isinstance(value, CutBytes):
        return {"cut": cut}
    return {"cut": cut, "size": "" if value.size is None else str(value.size), "sha256": value.sha256}


def _as_headers(ours: Mapping[str, str]) -> list[tuple[str, bytes | None]]:
    return [(PREFIX + name, text.encode()) for name, text in ours.items() if text]


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
    table: str = ""
    cut: str = ""
    """the parts of the original that are not in the letter whole, such as `key,value`; empty if all are"""

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
        """The job by the record's key; None without a whole key and for one that is not UTF-8."""
        if isinstance(self.original.key, CutBytes):
            return None
        try:
            return self.original.key.decode() if self.original.key else None
        except UnicodeDecodeError:
            return None

    def is_of(self, group: str, table: str) -> bool:
        """Whether this group and table made the letter. A letter of an older version does not name its table."""
        return self.group in ("", group) and self.table in ("", table)

    def without_value(self) -> Letter:
        """The letter without the original's value and headers, so that many fit in memory."""
        return self._replace(original=self.original._replace(value=None, headers=()))


def letter_of(raw: RawRecord) -> Letter | None:
    """The dead letter in a record of the dead letters' topic; None for a record that no consumer of ours wrote.

    Raises nothing, whatever another program has put into the headers.
    """
    ours = _our_headers(raw.headers)
    topic = ours.get("topic", "")
    partition = _number(ours.get("partition", ""), LARGEST_PARTITION)
    offset = _number(ours.get("offset", ""), LARGEST_OFFSET)
    if not topic or partition is None or offset is None:
        return None
    key, value = _parts(raw, ours)
    original = RawRecord(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=_timestamp(ours.get("timestamp", ""), raw.timestamp),
        key=key,
        value=value,
        headers=[item for item in raw.headers if not item[0].startswith(PREFIX)],
        log_id=_log_id(ours, topic, partition),
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
        table=ours.get("table", ""),
        cut=ours.get("cut", ""),
    )


def _log_id(ours: Mapping[str, str], topic: str, partition: int) -> str:
    with suppress(ValueError, TypeError):
        log = Log.parse(ours.get("log.id", ""))
        if (log.topic, log.partition) == (topic, partition):
            return log.id
    return Log(topic, ours.get("topic.id", "-"), partition).id


def _parts(raw: RawRecord, ours: Mapping[str, str]) -> tuple[bytes | None, bytes | None]:
    """Key and value of the original, as far as the letter holds them."""
    cut = ours.get("cut", "").split(",")
    key, value = raw.key, raw.value
    if "key" in cut and key is not None:
        key = CutBytes.known(key)
    if "value" in cut:
        value = CutBytes.known(value or b"", _number(ours.get("size", ""), LARGEST_OFFSET), ours.get("sha256", ""))
    return key, value


def _number(text: str, largest: int) -> int | None:
    number = int(text) if _NUMBER.fullmatch(text) else None
    return number if number is not None and number <= largest else None


def _timestamp(text: str, otherwise: int) -> int:
    number = int(text) if _TIMESTAMP.fullmatch(text) else otherwise
    return number if abs(number) <= LARGEST_OFFSET else otherwise


def _our_headers(headers: Headers) -> Mapping[str, str]:
    """Our headers by name, without the prefix."""
    return {
        name.removeprefix(PREFIX): (text or b"")[:LONGEST_TEXT].decode("utf-8", "replace")
        for name, text in headers
        if name.startswith(PREFIX)
    }
