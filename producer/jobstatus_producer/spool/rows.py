"""The rows of a spool: their size, their checksum, and the totals of a spool."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from jobstatus_producer.record import Record

ROW_BYTES: Final = 64
"""Roughly what a row takes in the file beside its key and value."""


class Totals(NamedTuple):
    """The events that wait in a spool, without those that are delivered."""

    events: int
    bytes: int
    span: tuple[int, ...]
    """`(lowest, highest)`: no `seq` in the spool is outside; empty if the spool has never had an event"""

    def plus(self, records: Sequence[Record]) -> Totals:
        """The totals after `records` are added."""
        seqs = [*self.span, *(record.seq for record in records)]
        span = (min(seqs), max(seqs)) if seqs else ()
        return Totals(self.events + len(records), self.bytes + sum(map(size_of, records)), span)

    def minus(self, records: Sequence[Record]) -> Totals:
        """The totals after `records` are removed. The span stays: it is a bound, and not exact."""
        return self._replace(events=self.events - len(records), bytes=self.bytes - sum(map(size_of, records)))


def size_of(record: Record) -> int:
    """The bytes that `record` takes in a spool, roughly."""
    return len(record.key) + len(record.value) + ROW_BYTES


def is_sound(row: Any) -> bool:
    """Whether a row of the table `events` has the checksum that it was written with."""
    try:
        return bool(crc_of(Record(*row[:4])) == row[4])
    except TypeError:
        # damage has changed the type of a column
        return False


def crc_of(record: Record) -> int:
    """The checksum that is stored beside `record`."""
    seq, key, value, traceparent = record
    return zlib.crc32(value, zlib.crc32(key, zlib.crc32(f"{seq} {traceparent}".encode())))
