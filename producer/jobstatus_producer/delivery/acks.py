"""What became of the events: counts, the callers who wait for one, those the broker refused, the last error."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from jobstatus_schemas import JobStatusEvent

from jobstatus_producer.delivery.transport import Failure
from jobstatus_producer.log import Throttle
from jobstatus_producer.record import Record

MAX_REFUSED_KEPT: Final = 10_000


class Waiting:
    """A caller who waits until each of `count` events is delivered or refused."""

    def __init__(self, count: int, when_done: Callable[[], None] | None = None) -> None:
        self._lock = threading.RLock()
        self._done = threading.Event()
        self._when_done = when_done
        self._count = count
        self.entries: dict[int, Record] = {}
        self.refused: list[tuple[Record, Failure]] = []

    def told(self, seq: int, failure: Failure | None) -> None:
        """One event has ended."""
        with self._lock:
            entry = self.entries.pop(seq, None)
            if entry is None:
                # nobody waits for it any longer
                return
            self._count -= 1
            if failure is not None:
                self.refused.append((entry, failure))
            done = self._count == 0
        if done:
            self._done.set()
            if self._when_done is not None:
                self._when_done()

    def wait(self, seconds: float) -> None:
        """Wait up to `seconds` for all of them."""
        self._done.wait(seconds)

    def end(self) -> list[Record]:
        """Wait no longer; returns the events that have not ended."""
        with self._lock:
            left = list(self.entries.values())
            self.entries.clear()
        return left


@dataclass(frozen=True, slots=True)
class Stats:
    """One moment of a producer.

    Every event that was accepted or taken over is delivered, refused, given up, or in one of the depths.
    """

    accepted: int = 0
    """events that a call took"""
    taken_over: int = 0
    """events in the spools of processes that are gone, which are this one's now"""
    delivered: int = 0
    """acknowledged by the broker, drained ones included"""
    drained: int = 0
    """acknowledged after they had been in the backlog or the spool"""
    spooled: int = 0
    """written to the spool"""
    refused: int = 0
    """refused by the broker for their own content"""
    rejected: int = 0
    """not accepted because there was no room: `BufferFullError`"""
    failed: int = 0
    """sendings that failed; such an event is tried again, so this is no loss"""
    queue_depth: int = 0
    """events in memory: with the Kafka client, or waiting to be tried again"""
    spool_depth: int = 0
    """events in the spool"""
    oldest_undelivered_seconds: float = 0.0
    """the age of the oldest event not yet acknowledged; 0 where there is none"""
    last_error: str | None = None
    """why the last sending failed"""


class Acks:
    """Thread-safe; the delivery of an event without a waiter costs it nothing."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._waiting: dict[int, Waiting] = {}
        self._refused_kept: list[Record] = []
        self._throttle = Throttle()
        self.refused = 0
        self.failed = 0
        self.last_error: str | None = None

    @property
    def awaited(self) -> bool:
        """Whether any caller waits."""
        return bool(self._waiting)

    def expect(self, entries: Sequence[Record], waiting: Waiting) -> None:
        """Tell `waiting` when each of `entries` has ended."""
        for entry in entries:
            waiting.entries[entry.seq] = entry
            self._waiting[entry.seq] = waiting

    def forget(self, waiting: Waiting) -> list[Record]:
        """Its caller waits no longer; returns the events that have not ended."""
        left = waiting.end()
        for entry in left:
            self._waiting.pop(entry.seq, None)
        return left

    def delivered(self, seq: int) -> None:
        """The broker acknowledged it."""
        if self._waiting:
            self._tell(seq, None)

    def refuse(self, entry: Record, failure: Failure, *, kept: bool) -> None:
        """The broker will never take it: unless it is kept, its caller is told, or a later flush or close raises it."""
        self.last_error = failure.text
        self.warn("refused", "the broker refuses an event of job %r: %s", entry.event.job_id, failure.text)
        told = self._tell(entry.seq, failure)
        with self._lock:
            self.refused += 1
            if not told and not kept and len(self._refused_kept) < MAX_REFUSED_KEPT:
                self._refused_kept.append(entry)

    def fail(self, failure: Failure) -> None:
        """A sending failed and will be repeated."""
        with self._lock:
            self.failed += 1
        self.trouble(failure.text)

    def trouble(self, text: str) -> None:
        """The way to the broker is not clear."""
        self.last_error = text
        self.warn("trouble", "not delivered for now: %s", text)

    def spool_trouble(self, text: str) -> None:
        """The spool cannot do its part. A kind of its own: the way to the broker is seldom clear then."""
        self.last_error = text
        self.warn("spool", "%s", text)

    def warn(self, kind: str, text: str, *args: object) -> None:
        """A warning on the producer's logger, at most one of its kind in ten seconds."""
        self._throttle.log(logging.WARNING, kind, text, *args)

    def error(self, kind: str, text: str, *args: object) -> None:
        """As `warn`, one level up."""
        self._throttle.log(logging.ERROR, kind, text, *args)

    def take_refused(self) -> list[JobStatusEvent]:
        """The refused events that nobody has been told of yet."""
        with self._lock:
            taken, self._refused_kept = self._refused_kept, []
        return [entry.event for entry in taken]

    def _tell(self, seq: int, failure: Failure | None) -> bool:
        waiting = self._waiting.pop(seq, None)
        if waiting is not None:
            waiting.told(seq, failure)
        return waiting is not None
