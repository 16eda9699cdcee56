"""The rows of a spool: what each costs, whether it is sound, and how much they are together."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from jobstatus_producer.record import Record

ROW_BYTES: Final = 64
"""What a row costs beside its key and value, roughly."""


class Totals(NamedTuple):
    """What a spool holds, without what is delivered."""

    events: int
    bytes: int
    span: tuple[int, ...]
    """no `seq` in it is lower than the first of these, or higher than the last"""

    def plus(self, entries: Sequence[Record]) -> Totals:
        """These are new in it."""
        seqs = [*self.span, *(entry.seq for entry in entries)]
        span = (min(seqs), max(seqs)) if seqs else ()
        return Totals(self.events + len(entries), self.bytes + sum(map(size_of, entries)), span)

    def less(self, entries: Sequence[Record]) -> Totals:
        """These are no longer in it."""
        return self._replace(events=self.events - len(entries), bytes=self.bytes - sum(map(size_of, entries)))


def size_of(entry: Record) -> int:
    """What it takes in a spool."""
    return len(entry.key) + len(entry.value) + ROW_BYTES


def is_sound(row: Any) -> bool:
    """Whether it is as it was written."""
    try:
        return bool(crc_of(Record(*row[:4])) == row[4])
    except TypeError:
        # not even of the types that were written
        return False


def crc_of(entry: Record) -> int:
    """Its checksum in the row."""
    seq, key, value, traceparent = entry
    return zlib.crc32(value, zlib.crc32(key, zlib.crc32(f"{seq} {traceparent}".encode())))
