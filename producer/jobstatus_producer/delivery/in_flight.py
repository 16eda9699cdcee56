"""Hand records to the Kafka client, await their callbacks, give up on those that do not come."""

from __future__ import annotations

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

    One thread at a time hands over. The client's callbacks run in whichever thread polls it, and a signal handler may
    raise in the middle of one. They take no lock: what changes together changes in one step (`docs/design.md`, "Many
    threads that report").
    """

    def __init__(self) -> None:
        self._records: dict[int, tuple[Record, float]] = {}
        self._bytes_begun = self._bytes_ended = 0
        self._ended = self._undelivered = 0

    def __len__(self) -> int:
        return len(self._records)

    @property
    def bytes(self) -> int:
        """The bytes of all values in flight."""
        return self._bytes_begun - self._bytes_ended

    @property
    def delivered_count(self) -> int:
        """How many records were acknowledged."""
        return self._ended - self._undelivered

    def hand_over(self, transport: Transport, record: Record, *, late: bool = False) -> bool:
        """Give `record` to the client. Never blocks. False: the client did not take it, so it has failed already."""
        seq, key, value, traceparent = record
        now, size = time.monotonic(), len(value)
        try:
            # these two lines are one step
            self._records[seq] = (record, now)
            self._bytes_begun += size
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
        for record in records:
            self._forget(record, undelivered=1)

    def _forget(self, record: Record, *, undelivered: int = 0) -> None:
        size = len(record.value)
        try:
            # these lines are one step
            del self._records[record.seq]
            self._bytes_ended += size
            self._undelivered += undelivered
            self._ended += 1
        except KeyError:
            # it has ended before
            return
