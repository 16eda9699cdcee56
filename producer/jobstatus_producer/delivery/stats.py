"""One moment of a producer, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from jobstatus_producer.delivery.acks import Acks
from jobstatus_producer.delivery.backlog import Backlog
from jobstatus_producer.delivery.in_flight import InFlight


@dataclass(frozen=True, slots=True)
class Stats:
    """One moment of a producer.

    Every event that was accepted or taken over is delivered, refused, given up, or in one of the two depths.
    """

    accepted: int = 0
    """events that a call accepted"""
    taken_over: int = 0
    """events found in the spools of processes that have ended; this producer delivers them"""
    delivered: int = 0
    """events that the broker acknowledged, the drained ones included"""
    drained: int = 0
    """events acknowledged after they had waited in the backlog or the spool"""
    spooled: int = 0
    """events written to the spool"""
    refused: int = 0
    """events that the broker refused for their own content"""
    rejected: int = 0
    """events not accepted because there was no room: `BufferFullError`"""
    failed: int = 0
    """attempts to send that failed; the event is tried again, so this is no loss"""
    queue_depth: int = 0
    """events in memory: with the Kafka client, or waiting for the next attempt"""
    spool_depth: int = 0
    """events in the spool"""
    oldest_undelivered_seconds: float = 0.0
    """the age of the oldest event that is not acknowledged; 0 where there is none"""
    last_error: str | None = None
    """why the last attempt to send failed"""


class Counted(NamedTuple):
    """What the outbox itself has counted."""

    accepted: int
    drained: int
    rejected: int


def stats_of(counted: Counted, in_flight: InFlight, backlog: Backlog, acks: Acks, now_micros: int) -> Stats:
    """The numbers of the parts of an outbox. May block on a spool file."""
    first, waiting = in_flight.oldest(), backlog.oldest()
    oldest = min((seq for seq in (first and first.seq, waiting) if seq is not None), default=None)
    return Stats(
        accepted=counted.accepted,
        taken_over=backlog.taken_over,
        delivered=in_flight.delivered_count + counted.drained,
        drained=counted.drained,
        spooled=backlog.spooled,
        refused=acks.refused_count,
        rejected=counted.rejected,
        failed=acks.failed_count,
        queue_depth=len(in_flight) + backlog.in_memory,
        spool_depth=backlog.spool_depth,
        oldest_undelivered_seconds=0.0 if oldest is None else max(0.0, (now_micros - oldest) / 1e6),
        last_error=acks.last_error,
    )
