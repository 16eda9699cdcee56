"""Dead letters read back: the original record with its own position, and why it was not written."""

from __future__ import annotations

from collections.abc import Container
from typing import Final, NamedTuple

from jobstatus_consumer.core.dead_letters import PREFIX
from jobstatus_consumer.core.decode import decode
from jobstatus_consumer.core.rule import RowState, decide
from jobstatus_consumer.records import Event, Log, RawRecord, Rejected

NAMES: Final = ("stage", "reason", "detail", "error.class", "sqlstate", "where", "first.seen", "group", "version")


class Letter(NamedTuple):
    """A dead letter. `original` is the record in the events' topic; `partition` and `offset` are the letter's own."""

    partition: int
    offset: int
    original: RawRecord
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
        """Log id and offset of the original: equal in two letters of the same record."""
        return self.original.log_id, self.original.offset

    @property
    def position(self) -> str:
        """Partition and offset of the original, as `P:N`."""
        return f"{self.original.partition}:{self.original.offset}"

    @property
    def cause(self) -> tuple[str, str, str]:
        """What letters are grouped by: stage, reason, and what the database named as the cause."""
        return self.stage, self.reason, self.where or self.sqlstate

    @property
    def job_id(self) -> str | None:
        """The job, from the record's key; None if that is no text."""
        try:
            return self.original.key.decode() if self.original.key else None
        except UnicodeDecodeError:
            return None

    def without_value(self) -> Letter:
        """The letter without the original's value and headers, so that many fit into memory."""
        return self._replace(original=self.original._replace(value=None, headers=()))


def letter_of(raw: RawRecord) -> Letter | None:
    """The dead letter in a record of the dead letter topic; None if another program wrote the record."""
    told = {name: (text or b"").decode("utf-8", "replace") for name, text in raw.headers if name.startswith(PREFIX)}
    said = {name.removeprefix(PREFIX): text for name, text in told.items()}
    partition, offset = said.get("partition", ""), said.get("offset", "")
    if not (partition.isdecimal() and offset.isdecimal() and said.get("topic")):
        return None
    log_id = said.get("log.id") or Log(said["topic"], said.get("topic.id", "-"), int(partition)).id
    told_time = said.get("timestamp", "")
    timestamp = int(told_time) if told_time.lstrip("-").isdecimal() else raw.timestamp
    original = RawRecord(
        said["topic"],
        int(partition),
        int(offset),
        timestamp,
        raw.key,
        raw.value,
        [item for item in raw.headers if not item[0].startswith(PREFIX)],
        log_id,
    )
    return Letter(raw.partition, raw.offset, original, *(said.get(name, "") for name in NAMES))


def settled(letter: Letter, found: Event | Rejected, row: RowState | None) -> bool:
    """Whether the row of its job is at or past it, so that applying it would change nothing.

    A record that does not decode is compared by its position; with a row of another log, by its time of appending.
    """
    if row is None:
        return False
    if isinstance(found, Event):
        return decide(row, found) != "applied"
    if not row.has_position:
        return False
    if row.log_id == letter.original.log_id:
        return row.log_offset is not None and row.log_offset >= letter.original.offset
    return row.latest is not None and row.latest >= letter.original.timestamp * 1000


def open_again(letter: Letter, allowed: Container[str] | None) -> Event | Rejected:
    """The event in the letter, decoded by the code that runs now."""
    return decode(letter.original, allowed)
