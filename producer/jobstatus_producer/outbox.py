"""Where an event goes: to the Kafka client while the way is clear, else to the backlog behind those that wait there.

The order of one producer's events is kept by one rule. While `direct` holds, the backlog is empty and events go
straight to the client. When one comes back, or stays away too long, `direct` ends: everything under way is called
back into the backlog, new events queue behind it, and only when the worker has drained it is `direct` true again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from queue import SimpleQueue
from threading import Lock
from typing import Final, NamedTuple

from jobstatus_schemas import JobStatusEvent, encode

from jobstatus_producer.backlog import Backlog
from jobstatus_producer.clock import PROCESS_CLOCK
from jobstatus_producer.entry import Entry, now_micros
from jobstatus_producer.errors import ProducerClosedError
from jobstatus_producer.flight import Flight
from jobstatus_producer.ledger import Ledger, Stats, Waiting
from jobstatus_producer.settings import ProducerSettings
from jobstatus_producer.transport import KafkaTransport

POLL_EVERY: Final = 64
"""Each so many calls one of them runs the client's callbacks, if more than that are due. With every call they would
cost 16 threads a fight for the interpreter's lock; left to the worker alone they would starve under busy threads."""
POLL_ABOVE: Final = 256
ROOM_STEP_SECONDS: Final = 0.02


class Report(NamedTuple):
    """An event before it is accepted: checked, but without a time."""

    job_id: str
    status: str
    error_message: str | None
    attempt: int | None
    worker_id: str | None
    traceparent: str | None
    event_id: str


def new_event_id() -> str:
    """A random UUID, version 4; twice as fast as `str(uuid.uuid4())`."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


class Outbox:
    """Owns every accepted event until the broker has acknowledged it. Thread-safe."""

    def __init__(self, settings: ProducerSettings) -> None:
        self.settings = settings
        self.lock = Lock()
        self.ledger = Ledger()
        self.backlog = Backlog()
        self.flight = Flight(self.backlog, self.ledger)
        self.wakeups: SimpleQueue[str] = SimpleQueue()
        self.worker_sleeps = False
        self.direct = True
        self.closed = False
        self.accepted = 0
        self.drained = 0
        self.rejected = 0
        self.last_seq = 0
        self.transport = self.open_transport()

    def open_transport(self) -> KafkaTransport:
        """A new Kafka client."""
        # librdkafka counts what awaits its callback too; the bound on events is kept by `_room_for`
        max_records = min(10_000_000, 2 * self.settings.max_pending_events + 10_000)
        return KafkaTransport(self.settings.topic, self.settings.kafka, max_records, self.flight.note_error)

    def put(self, reports: Sequence[Report], waiting: Waiting | None = None) -> bool:
        """Accept all of `reports`, or none because there is no room. Never waits. `waiting` is told how they end."""
        with self.lock:
            if self.closed:
                raise ProducerClosedError("the producer is closed; nothing was queued")
            if not self._room_for(len(reports)):
                return False
            entries = [stamped(report) for report in reports]
            self.last_seq = entries[-1].seq
            if waiting is not None:
                self.ledger.expect(entries, waiting)
            self._dispatch(entries)
            self.accepted += len(entries)
            due = self.accepted % POLL_EVERY < len(entries)
        if self.worker_sleeps:
            self.wakeups.put("events")
        if due and len(self.flight) > POLL_ABOVE:
            self.transport.poll(0)
        return True

    def put_within(self, reports: Sequence[Report], seconds: float, waiting: Waiting | None = None) -> bool:
        """`put`, waiting up to `seconds` for room."""
        deadline = time.monotonic() + seconds
        while not self.put(reports, waiting):
            left = deadline - time.monotonic()
            if left <= 0:
                self.rejected += len(reports)
                return False
            self.wakeups.put("room wanted")
            self.transport.poll(min(left, ROOM_STEP_SECONDS))
        return True

    def unsettled(self, up_to: int) -> int:
        """How many events are not yet settled, if any of them is no newer than `up_to`; else 0."""
        flying = self.flight.oldest()
        waiting = self.backlog.oldest()
        if (flying is None or flying[0].seq > up_to) and (waiting is None or waiting > up_to):
            return 0
        return len(self.flight) + len(self.backlog)

    def wait_until_settled(self, seconds: float) -> int:
        """Wait up to `seconds` for what was accepted before this call; returns how many are unsettled."""
        deadline = time.monotonic() + seconds
        up_to = self.last_seq
        self.wakeups.put("flush")
        while left := self.unsettled(up_to):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            self.transport.poll(min(remaining, ROOM_STEP_SECONDS))
        return left

    def refuse_more(self) -> None:
        """From now on `put` raises: the producer is closing."""
        with self.lock:
            self.closed = True

    def give_up(self, seconds: float) -> list[JobStatusEvent]:
        """The end, after the worker's: let go of the client; returns what was not delivered."""
        self.transport.purge()
        deadline = time.monotonic() + seconds
        while len(self.flight) and time.monotonic() < deadline:
            self.transport.poll(ROOM_STEP_SECONDS)
        self.transport.close()
        left = {entry.seq: entry for entry in (*self.flight.entries(), *self.backlog.first(len(self.backlog)))}
        return [left[seq].event for seq in sorted(left)]

    def stats(self) -> Stats:
        """This moment, in numbers."""
        flight, ledger = self.flight, self.ledger
        oldest = self.backlog.oldest()
        backlog_age = 0.0 if oldest is None else max(0.0, (now_micros() - oldest) / 1e6)
        return Stats(
            accepted=self.accepted,
            delivered=flight.sent - flight.returned - len(flight) + self.drained,
            drained=self.drained,
            spooled=0,
            refused=ledger.refused,
            rejected=self.rejected,
            failed=ledger.failed,
            queue_depth=len(flight) + len(self.backlog),
            spool_depth=0,
            oldest_undelivered_seconds=max(flight.oldest_age(), backlog_age),
            last_error=ledger.last_error,
        )

    def _room_for(self, count: int) -> bool:
        return len(self.flight) + len(self.backlog) + count <= self.settings.max_pending_events

    def _dispatch(self, entries: Sequence[Entry]) -> None:
        if self.direct:
            for entry in entries:
                self.flight.send(self.transport, entry)
        else:
            self.backlog.add(entries)


def stamped(report: Report) -> Entry:
    """`report` with the time of now, encoded."""
    job_id, status, error_message, attempt, worker_id, traceparent, event_id = report
    seq = PROCESS_CLOCK.stamp()
    event = JobStatusEvent(event_id, job_id, status, error_message, attempt, worker_id, seq)
    return Entry(seq, job_id.encode(), encode(event), traceparent)
