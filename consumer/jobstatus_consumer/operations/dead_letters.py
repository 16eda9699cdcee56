"""Whether a dead letter still matters: whether its event would still change its row."""

from __future__ import annotations

from jobstatus_consumer.core import Letter, RowState, decide
from jobstatus_consumer.records import Event, Rejected


def settled(letter: Letter, found: Event | Rejected, row: RowState | None) -> bool:
    """Whether applying the letter would change nothing, because its job's row is at or past it.

    `found` is the letter's original, decoded today. An original that does not decode is judged by its offset; against a
    row of another log, by the time at which it was appended.
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
