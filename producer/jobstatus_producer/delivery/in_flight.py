"""The events that librdkafka holds for its first try."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from jobstatus_producer.delivery.acks import Acks
from jobstatus_producer.delivery.backlog import Backlog
from jobstatus_producer.delivery.transport import Failure, KafkaTransport, failure_of
from jobstatus_producer.record import Record, now_micros


class InFlight:
    """Hands entries to the transport; what does not arrive goes to the backlog, in its order."""

    def __init__(self, backlog: Backlog, ledger: Acks) -> None:
        self._backlog = backlog
        self._ledger = ledger
        # a signal's handler that reports may have interrupted this very thread
        self._lock = threading.RLock()
        self._entries: dict[int, tuple[Record, float]] = {}
        self._bytes_sent = self._bytes_ended = 0
        self.sent = 0
        self.returned = 0
        self.suspects = 0
        """how many came back with a batch that the broker refused"""
        self.failed = False
        """an entry came back: those behind it must not overtake it"""
        self.fatal = False
        """the client must be made anew"""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """The values' bytes, in all."""
        return self._bytes_sent - self._bytes_ended

    def send(self, transport: KafkaTransport, entry: Record, *, late: bool = False) -> None:
        """Under the outbox's lock: entries are sent in the order of their `seq`."""
        try:
            self._entries[entry.seq] = (entry, time.monotonic())
            self._bytes_sent += len(entry.value)
            self.sent += 1
            failure = transport.send(
                entry.key, entry.value, partial(self._done, entry), late=late, traceparent=entry.traceparent
            )
        except BaseException:
            # raised by a signal's handler: the call that was to send it fails, and nobody waits for its callback
            self._let_go([entry])
            raise
        if failure is not None:
            self._ended(entry, failure)

    def oldest(self) -> tuple[Record, float] | None:
        """The entry sent first, and when by `time.monotonic`."""
        while True:
            try:
                return next(iter(self._entries.values()), None)
            except RuntimeError:
                # a callback in another thread took an entry away between the two steps
                continue

    def entries(self) -> list[Record]:
        """What is under way."""
        return [entry for entry, _ in list(self._entries.values())]

    def overdue(self, seconds: float) -> bool:
        """Whether the oldest entry was sent more than `seconds` ago."""
        oldest = self.oldest()
        return oldest is not None and time.monotonic() - oldest[1] > seconds

    def oldest_age(self) -> float:
        """Seconds since the oldest entry was made."""
        oldest = self.oldest()
        return 0.0 if oldest is None else max(0.0, (now_micros() - oldest[0].seq) / 1e6)

    def note_error(self, failure: Failure) -> None:
        """An error of the client as a whole."""
        self.fatal = self.fatal or failure.fatal
        self._ledger.trouble(failure.text)

    def give_up(self) -> list[Record]:
        """Wait no longer for callbacks that were lost or are late: whether the broker has these is not known."""
        entries = self.entries()
        self._let_go(entries)
        return entries

    def _let_go(self, entries: Sequence[Record]) -> None:
        with self._lock:
            self.returned += sum([self._forget(entry) for entry in entries])

    def _done(self, entry: Record, error: Any, _message: Any) -> None:
        if entry.seq not in self._entries:
            return  # given up
        try:
            if error is None:
                self._forget(entry)
                self._ledger.delivered(entry.seq)
            else:
                self._ended(entry, failure_of(error))
        except BaseException:
            # raised by a signal's handler, in whichever thread polls
            if error is not None and entry.seq in self._entries:
                self._backlog.hold([entry])
                self.failed = True
            self._let_go([entry])
            raise

    def _ended(self, entry: Record, failure: Failure) -> None:
        with self._lock:
            self.returned += 1
            self.suspects += failure.suspect
        if failure.refused:
            self._ledger.refuse(entry, failure, kept=self._backlog.refuse(entry, failure.text))
        else:
            self._backlog.hold([entry])
        self._forget(entry)
        if not failure.purged and not failure.refused:
            self.fatal = self.fatal or failure.fatal
            self.failed = True
            self._ledger.fail(failure)

    def _forget(self, entry: Record) -> bool:
        """Whether it was under way until now."""
        # callbacks run in whichever thread polls
        with self._lock:
            known = self._entries.pop(entry.seq, None) is not None
            if known:
                self._bytes_ended += len(entry.value)
            return known
