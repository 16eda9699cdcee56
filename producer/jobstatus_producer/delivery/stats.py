"""One moment of a producer, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


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
