"""Hand records to the Kafka client, await their callbacks, give up on those that do not come."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from jobstatus_schemas.protocol import LATE_AFTER_SECONDS

from jobstatus_producer.delivery.transport import Failure, Transport, failure_of
from jobstatus_producer.record import Record

MAX_TRY_SECONDS: Final = LATE_AFTER_SECONDS
"""How long the Kafka client may try a record before it is called back.

The client retries by itself, and cannot add a header to a record that it has. So a record that it may send after the
late mark's bound has to come back by then, and go out again with the mark: the two bounds are one.
"""
POLL_SECONDS: Final = 0.05


class InFlight(ABC):
    """Records that the Kafka client has, until each is acknowledged, has failed, or is given up. Thread-safe.

    The client's callbacks run in whichever thread polls it, and a signal handler may raise in the middle of one.
    """

    def __init__(self) -> None:
        # reentrant, because a signal handler that reports may interrupt a thread that holds the lock
        self._lock = threading.RLock()
        self._records: dict[int, tuple[Record, float]] = {}
        self._bytes_sent = self._bytes_ended = 0
        self._sent = self._undelivered = 0

    def __len__(self) -> int:
        return len(self._records)

    @property
    def bytes(self) -> int:
        """The bytes of all values in flight."""
        return self._bytes_sent - self._bytes_ended

    @property
    def delivered_count(self) -> int:
        """How many records were acknowledged."""
        return self._sent - self._undelivered - len(self._records)

    def hand_over(self, transport: Transport, record: Record, *, late: bool = False) -> bool:
        """Give `record` to the client. Never blocks. False: the client did not take it, so it has failed already."""
        seq, key, value, traceparent = record
        try:
            self._records[seq] = (record, time.monotonic())
            self._bytes_sent += len(value)
            self._sent += 1
            failure = transport.send(key, value, partial(self._done, record), late=late, traceparent=traceparent)
        except BaseException:
            # raised by a signal handler, or by a client that cannot read the record: its caller sees the exception
            self._give_up([record])
            raise
        if failure is not None:
            self._fail(record, failure)
        return failure is None

    def wait(self, transport: Transport, over: Callable[[], bool]) -> bool:
        """Poll until no record is in flight (True), or until `over()` (False)."""
        while self._records:
            if over():
                return False
            transport.poll(POLL_SECONDS)
        return True

    def call_back(self, transport: Transport, seconds: float) -> list[Record]:
        """Take every record back from the client, waiting up to `seconds` for the callbacks.

        Returns the records whose callback did not come. Whether the broker has these is not known; a callback that
        comes later changes nothing.
        """
        transport.purge()
        deadline = time.monotonic() + seconds
        self.wait(transport, lambda: time.monotonic() >= deadline)
        lost = [record for record, _ in list(self._records.values())]
        self._give_up(lost)
        return lost

    def oldest(self) -> Record | None:
        """The record that was handed over first."""
        first = self._first()
        return None if first is None else first[0]

    @abstractmethod
    def _delivered(self, record: Record) -> None:
        """The broker acknowledged `record`."""

    @abstractmethod
    def _failed(self, record: Record, failure: Failure) -> None:
        """`record` was not delivered. It still counts as in flight until this returns."""

    def _is_overdue(self) -> bool:
        first = self._first()
        return first is not None and time.monotonic() - first[1] > MAX_TRY_SECONDS

    def _first(self) -> tuple[Record, float] | None:
        while True:
            try:
                return next(iter(self._records.values()), None)
            except RuntimeError:
                # a callback in another thread removed a record between the two steps
                continue

    def _done(self, record: Record, error: Any, message: Any) -> None:
        if record.seq not in self._records:
            return  # it was given up
        try:
            if error is None:
                # first this: a caller that waits for the acknowledgement may look at the counts next
                self._forget(record)
                self._delivered(record)
            else:
                self._fail(record, failure_of(error, topic="" if message is None else message.topic()))
        except BaseException:
            # raised by a signal handler. The client does not call a second time, so what it said must not be lost
            if error is not None and record.seq in self._records:
                self._failed(record, Failure("a signal handler interrupted the callback"))
            self._give_up([record])
            raise

    def _fail(self, record: Record, failure: Failure) -> None:
        # first this: at every moment the record is in flight, or where `_failed` puts it
        self._failed(record, failure)
        self._give_up([record])

    def _give_up(self, records: list[Record]) -> None:
        with self._lock:
            known = [record for record in records if record.seq in self._records]
            # counted first: `delivered_count`, which takes no lock, is never too high
            self._undelivered += len(known)
            for record in known:
                self._forget(record)

    def _forget(self, record: Record) -> None:
        with self._lock:
            if self._records.pop(record.seq, None) is not None:
                self._bytes_ended += len(record.value)
