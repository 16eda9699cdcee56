"""Where an event goes: to the Kafka client while the way is clear, else to the backlog behind those that wait there.

The order of one producer's events is kept by one rule. While `direct` holds, the backlog is empty and events go
straight to the client. When one comes back, or stays away too long, `direct` ends: everything under way is called
back into the backlog, new events queue behind it, and only when the worker has drained it is `direct` true again.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from queue import SimpleQueue
from threading import RLock, get_ident
from typing import Final, NamedTuple

from jobstatus_schemas import JobStatusEvent, encode

from jobstatus_producer.clock import PROCESS_CLOCK
from jobstatus_producer.delivery.acks import Acks, Stats, Waiting
from jobstatus_producer.delivery.backlog import Backlog
from jobstatus_producer.delivery.in_flight import InFlight
from jobstatus_producer.delivery.transport import Failure, KafkaTransport
from jobstatus_producer.errors import ProducerClosedError, summary
from jobstatus_producer.log import logger
from jobstatus_producer.record import Record, now_micros
from jobstatus_producer.settings import ProducerSettings

POLL_EVERY: Final = 256
"""One of so many calls runs the client's callbacks, if more than that are due. With every call they would cost 16
threads a fight for the interpreter's lock; left to the worker alone they would starve under busy threads."""
POLL_ABOVE: Final = 256
ROOM_STEP_SECONDS: Final = 0.02
DEFAULT_BLOCK_SECONDS: Final = 5.0
ENDS_WITHIN_SECONDS: Final = 10.0
"""For the end of a process after its flush: other producers may be at theirs, and spools are closed."""


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
        # a signal's handler that reports may have interrupted this very thread
        self.lock = RLock()
        self._putting: int | None = None
        self._meanwhile: deque[tuple[Sequence[Report], Waiting | None]] = deque()
        """what handlers reported in the middle of a call of the same thread"""
        self.ledger = Acks()
        # first what a wrong setting fails: nothing is in a folder then
        self.transport = self.open_transport()
        try:
            self.backlog = Backlog(settings, self.ledger.spool_trouble)
        except BaseException:
            self.transport.drop()
            raise
        self.flight = InFlight(self.backlog, self.ledger)
        self.wakeups: SimpleQueue[str] = SimpleQueue()
        self.worker_sleeps = False
        self.direct = not settings.durable and not len(self.backlog)
        """the way is clear; never so for a durable producer"""
        self.failing = False
        """the last try to drain failed"""
        self.closed = False
        self.ends_with_process = False
        """closed by a signal that is about to end the process"""
        self.given_up = False
        """nothing that comes now is sent any more"""
        self.accepted = 0
        self.drained = 0
        self.rejected = 0
        # what was taken over is flushed with the rest, and everything new comes after it
        self.last_seq = self.backlog.newest() or 0
        PROCESS_CLOCK.rise_above(self.last_seq)

    def open_transport(self) -> KafkaTransport:
        """A new Kafka client."""
        # librdkafka counts what awaits its callback too; the bound on events is kept by `_dispatch`
        max_records = min(10_000_000, 2 * self.settings.max_pending_events + 10_000)
        return KafkaTransport(self.settings.topic, self.settings.kafka, max_records, self._note_error)

    def renew_transport(self) -> None:
        """A client in a fatal state never recovers: go on with a new one."""
        old, self.transport = self.transport, self.open_transport()
        self.flight.fatal = False
        old.close()

    def put(self, reports: Sequence[Report], waiting: Waiting | None = None, *, directly: bool = False) -> bool:
        """Accept all of `reports`, or none because there is no room. `waiting` is told how they end.

        Never waits, but for the spool's file and for who is at it: `directly` is without, and accepts less.
        """
        if self._putting == get_ident():
            # a signal's handler interrupted a call: its events come behind those of that call, which may have a time
            self._meanwhile.append((reports, waiting))
            return True
        if directly and not self.direct:
            # before the lock: whoever writes to the spool, or ends a drain, has it for long, and `direct` is over then
            return False
        try:
            return self._put(reports, waiting, directly=directly)
        except ProducerClosedError:
            if self.ends_with_process:
                # there is nobody to be told: a signal that nobody handles ends the process in the middle of this
                time.sleep(self.settings.close_seconds + ENDS_WITHIN_SECONDS)
            raise

    def _put(self, reports: Sequence[Report], waiting: Waiting | None, *, directly: bool) -> bool:
        with self.lock:
            if self.closed:
                raise ProducerClosedError("the producer is closed; nothing was queued")
            self._putting = get_ident()
            try:
                accepted = self._accept(reports, waiting, directly=directly)
            finally:
                try:
                    self._accept_meanwhile()
                finally:
                    # also where a handler raises right here: else all that follows would be put aside
                    self._putting = None
            if self.given_up:
                text = "the producer was closed in the middle of this call: whether its event arrives is not known"
                raise ProducerClosedError(text)
            if not accepted:
                return False
            due = not directly and self.accepted % POLL_EVERY < len(reports)
        if self.worker_sleeps:
            self.wakeups.put("events")
        if due and len(self.flight) > POLL_ABOVE:
            self.transport.poll(0)
        return True

    def _accept(
        self, reports: Sequence[Report], waiting: Waiting | None, *, directly: bool = False, surely: bool = False
    ) -> bool:
        entries = [stamped(report) for report in reports]
        if waiting is not None:
            self.ledger.expect(entries, waiting)
        if not self._dispatch(entries, directly=directly):
            if not surely:
                if waiting is not None:
                    self.ledger.forget(waiting)
                return False
            self.direct = False
            self.backlog.hold(entries)
        self.last_seq = max(self.last_seq, entries[-1].seq)
        self.accepted += len(entries)
        return True

    def _accept_meanwhile(self) -> None:
        while self._meanwhile:
            self._accept(*self._meanwhile.popleft(), surely=True)

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

    def wait_until_settled(self, seconds: float, *, unless_failing: bool = False) -> int:
        """Wait up to `seconds` for what was accepted before this call; returns how many are unsettled."""
        deadline = time.monotonic() + seconds
        with self.lock:
            # a handler that flushes wants its own events there before the call that it interrupted goes on, if it does
            self._accept_meanwhile()
        up_to = self.last_seq
        self.wakeups.put("flush")
        while left := self.unsettled(up_to):
            remaining = deadline - time.monotonic()
            if remaining <= 0 or (unless_failing and self.failing):
                break
            self.transport.poll(min(remaining, ROOM_STEP_SECONDS))
        return left

    @property
    def block_seconds(self) -> float:
        """How long a call may wait for room: not at all with a spool that works, unless it was set."""
        if self.settings.max_block_seconds is not None:
            return self.settings.max_block_seconds
        return 0.0 if self.backlog.has_spool and not self.backlog.broken else DEFAULT_BLOCK_SECONDS

    def refuse_more(self) -> None:
        """From now on `put` raises: the producer is closing."""
        with self.lock:
            self.closed = True

    def give_up(self, seconds: float) -> list[JobStatusEvent]:
        """The end, after the worker's: let go of the client; returns what was not delivered."""
        self.given_up = True
        self.call_back(seconds)
        self.transport.close()
        return [entry.event for entry in self.backlog.close()]

    def tell_lost(self, events: Sequence[JobStatusEvent]) -> None:
        """A signal ends the process, so nobody can be given `events`."""
        if events:
            why = self.ledger.last_error or "no answer"
            text = "a signal ends this process, and what is neither delivered nor spooled is lost with it: %s; why: %s"
            logger.error(text, summary(events), why)

    def call_back(self, seconds: float) -> None:
        """Bring what is under way back to the backlog, and what is in memory to the spool, within `seconds`."""
        with self.lock:
            self.direct = False
        self.transport.purge()
        deadline = time.monotonic() + seconds
        while len(self.flight) and time.monotonic() < deadline:
            self.transport.poll(ROOM_STEP_SECONDS)
        self.backlog.hold(self.flight.give_up())
        self.backlog.move_to_spool()

    def stats(self) -> Stats:
        """This moment, in numbers."""
        flight, ledger = self.flight, self.ledger
        oldest = self.backlog.oldest()
        backlog_age = 0.0 if oldest is None else max(0.0, (now_micros() - oldest) / 1e6)
        return Stats(
            accepted=self.accepted,
            taken_over=self.backlog.taken_over,
            delivered=flight.sent - flight.returned - len(flight) + self.drained,
            drained=self.drained,
            spooled=self.backlog.spooled,
            refused=ledger.refused,
            rejected=self.rejected,
            failed=ledger.failed,
            queue_depth=len(flight) + self.backlog.in_memory,
            spool_depth=self.backlog.spool_depth,
            oldest_undelivered_seconds=max(flight.oldest_age(), backlog_age),
            last_error=ledger.last_error,
        )

    def _note_error(self, failure: Failure) -> None:
        self.flight.note_error(failure)

    def _dispatch(self, entries: Sequence[Record], *, directly: bool) -> bool:
        fits = self._fit(entries)
        if self.direct and fits:
            for entry in entries:
                self.flight.send(self.transport, entry)
            return True
        if directly:
            return False
        if self.direct and not self.backlog.has_spool:
            return False
        # with a spool, a full queue is a reason to use it; the worker makes `direct` true again
        self.direct = False
        return self.backlog.accept(entries, in_memory=fits)

    def _fit(self, entries: Sequence[Record]) -> bool:
        settings, flight, backlog = self.settings, self.flight, self.backlog
        pending = len(flight) + backlog.in_memory
        if pending + len(entries) > settings.max_pending_events:
            return False
        wanted = sum([len(entry.value) for entry in entries])
        # one that is larger than all that may wait goes alone
        return not pending or flight.bytes + backlog.bytes_in_memory + wanted <= settings.max_pending_bytes


def stamped(report: Report) -> Record:
    """`report` with the time of now, encoded."""
    job_id, status, error_message, attempt, worker_id, traceparent, event_id = report
    seq = PROCESS_CLOCK.stamp()
    event = JobStatusEvent(event_id, job_id, status, error_message, attempt, worker_id, seq)
    return Record(seq, job_id.encode(), encode(event), traceparent)
