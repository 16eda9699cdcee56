"""Dead letters read back: the original record with its own position, why it is here, and whether that still matters."""

from __future__ import annotations

from collections.abc import Container
from typing import Final, NamedTuple

from jobstatus_consumer.core.dead_letters import PREFIX
from jobstatus_consumer.core.decode import decode
from jobstatus_consumer.core.rule import RowState, decide
from jobstatus_consumer.records import Event, Log, RawRecord, Rejected

NAMES: Final = ("stage", "reason", "detail", "error.class", "sqlstate", "where", "first.seen", "group", "version")


class Letter(NamedTuple):
    """A dead letter. `original` is the record as it was in the events' topic; `partition` and `offset` are its own."""

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
        """What two letters of the same record share."""
        return self.original.log_id, self.original.offset

    @property
    def position(self) -> str:
        """Where the record was, as `P:N`."""
        return f"{self.original.partition}:{self.original.offset}"

    @property
    def cause(self) -> tuple[str, str, str]:
        """What letters are grouped by: stage, reason, and what the database named."""
        return self.stage, self.reason, self.where or self.sqlstate

    @property
    def job_id(self) -> str | None:
        """The job by the record's key; None where that is no text."""
        try:
            return self.original.key.decode() if self.original.key else None
        except UnicodeDecodeError:
            return None

    def without_value(self) -> Letter:
        """The same, small enough to be kept in numbers."""
        return self._replace(original=self.original._replace(value=None, headers=()))


def letter_of(raw: RawRecord) -> Letter | None:
    """The dead letter in a record of their topic; None for a record that is none of ours."""
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
    """Whether its job's row is at or past it, so that applying it would change nothing.

    What does not decode is judged by its position; against a row of another log, by the time at which it was appended.
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
    """The event in the letter, decoded as today's code does it."""
    return decode(letter.original, allowed)
