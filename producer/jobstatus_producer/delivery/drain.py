"""Sends the backlog, in order, until it is empty and the way is clear again. Used by the worker thread alone."""

from __future__ import annotations

import math
import random
import time
from functools import partial
from typing import Any, Final

from jobstatus_schemas.protocol import LATE_AFTER_SECONDS

from jobstatus_producer.delivery.backlog import Chunk
from jobstatus_producer.delivery.outbox import Outbox
from jobstatus_producer.delivery.transport import Failure, KafkaTransport, failure_of
from jobstatus_producer.record import Record, now_micros

CHUNK: Final = 500
CHUNK_SECONDS: Final = LATE_AFTER_SECONDS
LAST_CHUNK: Final = 100
LAST_CHUNK_SECONDS: Final = 0.25
"""How long calls may be held up, once, so that the last chunk can end a drain under a steady stream of new events."""
POLL_SECONDS: Final = 0.05
GIVE_UP_SECONDS: Final = 1.0
"""How long the client may take to call back what was given up."""
BACKOFF_SECONDS: Final = (0.1, 2.0)
UNREADABLE_SECONDS: Final = 0.5
"""Between two tries to read a spool that cannot be read, while nothing else is to be sent."""


class Sending:
    """A chunk that was handed to the client, and what became of its entries so far (None: delivered)."""

    def __init__(self, chunk: Chunk, transport: KafkaTransport) -> None:
        self.chunk = chunk
        self.ended: dict[int, Failure | None] = {}
        self.taken: list[int] = []
        """the `seq` of those that the client has taken"""
        self.waited = 0.0
        """for how many seconds, until it was given up"""
        self._began = time.monotonic()
        self._transport = transport
        now = now_micros()
        for entry in chunk.entries:
            failure = self._hand_over(entry, late=chunk.is_late(entry, now))
            if failure is None:
                self.taken.append(entry.seq)
            else:
                self.ended[entry.seq] = failure

    def _hand_over(self, entry: Record, *, late: bool) -> Failure | None:
        done = partial(self._done, entry.seq)
        try:
            return self._transport.send(entry.key, entry.value, done, late=late, traceparent=entry.traceparent)
        except (TypeError, ValueError) as error:
            # what the client cannot even take must not stop all that is behind it
            return Failure(f"the client cannot take it: {error}", refused=True)

    def wait(self, until: float, stop: Stop) -> bool:
        """Whether every entry has ended by `until`, which `stop` brings forward."""
        while len(self.ended) < len(self.chunk.entries):
            if stop.wanted or time.monotonic() >= min(until, stop.until):
                return False
            self._transport.poll(POLL_SECONDS)
        return True

    def give_up(self) -> None:
        """Call back what has not ended; whether the broker has it is not known then."""
        self.waited = time.monotonic() - self._began
        self._transport.purge()
        until = time.monotonic() + GIVE_UP_SECONDS
        while len(self.ended) < len(self.chunk.entries) and time.monotonic() < until:
            self._transport.poll(POLL_SECONDS)
        for entry in self.chunk.entries:
            # what a signal handler raises in the middle of a callback ends it before it has told anything
            self.ended.setdefault(entry.seq, Failure("the client says nothing of it", purged=True))

    def _done(self, seq: int, error: Any, _message: Any) -> None:
        self.ended[seq] = None if error is None else failure_of(error)


class Stop:
    """A wish to end, seen by every wait of the worker thread."""

    wanted = False
    until = math.inf
    """the process is told to end, and this is how long it may take (`time.monotonic`)"""


class Drain:
    """Knows when to try again."""

    def __init__(self, outbox: Outbox, stop: Stop) -> None:
        self._outbox = outbox
        self._stop = stop
        self._tries = 0
        self._next_try = 0.0
        self._alone = 0
        """so many of the next entries go out one by one, to find the one for which a batch was refused"""

    @property
    def seconds_to_wait(self) -> float:
        """Until the next try."""
        return max(0.0, self._next_try - time.monotonic())

    def back_off(self) -> None:
        """A try failed: wait longer, with jitter, before the next, which sends one event alone."""
        first, most = BACKOFF_SECONDS
        self._tries += 1
        self._outbox.failing = True
        bound = min(most, first * 2 ** min(self._tries, 10))
        self._next_try = time.monotonic() + random.uniform(0.0, bound)  # noqa: S311 - jitter

    def step(self) -> None:
        """Send the next chunk and wait for its end."""
        outbox = self._outbox
        if outbox.flight.fatal:
            outbox.renew_transport()
        outbox.backlog.stay_in_place()
        if outbox.backlog.in_memory or outbox.backlog.broken:
            outbox.backlog.move_to_spool()
        # one event alone finds out whether the way is clear
        alone = self._tries or self._alone
        chunk = outbox.backlog.first(1 if alone else CHUNK)
        if outbox.backlog.unreadable and not chunk.entries:
            self._next_try = time.monotonic() + UNREADABLE_SECONDS
            return
        if alone or outbox.settings.durable or len(chunk.entries) > LAST_CHUNK:
            self._finish(self._send(chunk))
        else:
            self._last_step()

    def _last_step(self) -> None:
        outbox = self._outbox
        with outbox.lock:
            # nothing can come in between now: when these are delivered, the backlog is empty
            sending = self._send(outbox.backlog.first(CHUNK))
            if sending.wait(time.monotonic() + LAST_CHUNK_SECONDS, self._stop):
                self._settle(sending)
                outbox.direct = not len(outbox.backlog)
                return
        self._finish(sending)

    def _send(self, chunk: Chunk) -> Sending:
        sending = Sending(chunk, self._outbox.transport)
        if chunk.orphan is None:
            self._outbox.backlog.note_tried(sending.taken)
        return sending

    def _finish(self, sending: Sending) -> None:
        if not sending.wait(time.monotonic() + CHUNK_SECONDS, self._stop):
            sending.give_up()
        self._settle(sending)

    def _settle(self, sending: Sending) -> None:
        outbox, chunk = self._outbox, sending.chunk
        self._alone = max(0, self._alone - len(chunk.entries))
        delivered, again = [], []
        for entry in chunk.entries:
            failure = sending.ended[entry.seq]
            if failure is None:
                delivered.append(entry)
            elif failure.refused or (failure.suspect and len(chunk.entries) == 1):
                kept = outbox.backlog.refuse(entry, failure.text, chunk.orphan)
                outbox.ledger.refuse(entry, failure, kept=kept)
            else:
                again.append(failure)
        outbox.backlog.settle(delivered, chunk.orphan)
        outbox.drained += len(delivered)
        for entry in delivered:
            outbox.ledger.delivered(entry.seq)
        self.send_alone(sum(failure.suspect for failure in again))
        failure = next((failure for failure in again if not failure.suspect), None)
        if failure is not None and failure.purged:
            failure = failure._replace(text=f"not acknowledged within {sending.waited:.2g} s")
        self._note(failure)

    def send_alone(self, count: int) -> None:
        """The next `count` entries were in batches that the broker refused for the content of one of them."""
        self._alone += count

    def _note(self, failure: Failure | None) -> None:
        outbox = self._outbox
        if failure is None:
            self._tries = 0
            outbox.failing = False
            return
        outbox.flight.fatal = outbox.flight.fatal or failure.fatal
        if not self._stop.wanted:
            outbox.ledger.fail(failure)
        self.back_off()
