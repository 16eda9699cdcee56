"""What became of the events: callers that wait, events that the broker refused, failed attempts, the last error."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from jobstatus_producer.delivery.transport import Failure
from jobstatus_producer.log import Throttle
from jobstatus_producer.record import Record

MAX_REFUSED_KEPT: Final = 10_000


class AckWaiter:
    """A caller that waits until each of `count` events is acknowledged or refused. Thread-safe."""

    def __init__(self, count: int, when_done: Callable[[], None] | None = None) -> None:
        self._lock = threading.RLock()
        self._done = threading.Event()
        self._when_done = when_done
        self._count = count
        self._records: dict[int, Record] = {}
        self.refused: list[tuple[Record, Failure]] = []

    def expect(self, record: Record) -> None:
        """`record` is one of those that it waits for."""
        self._records[record.seq] = record

    def ended(self, seq: int, failure: Failure | None) -> None:
        """One event is acknowledged, or refused with `failure`."""
        with self._lock:
            record = self._records.pop(seq, None)
            if record is None:
                # the caller has stopped waiting
                return
            self._count -= 1
            if failure is not None:
                self.refused.append((record, failure))
            done = self._count == 0
        if done:
            self._done.set()
            if self._when_done is not None:
                self._when_done()

    def wait(self, seconds: float) -> None:
        """Block until all events have ended, for up to `seconds`."""
        self._done.wait(seconds)

    def stop(self) -> list[Record]:
        """Wait no longer. Returns the events that have not ended."""
        with self._lock:
            left = list(self._records.values())
            self._records.clear()
        return left


class Acks:
    """Thread-safe. The acknowledgement of an event that no caller waits for costs no lock."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._waiters: dict[int, AckWaiter] = {}
        self._refused_kept: list[Record] = []
        self._throttle = Throttle()
        self._last_error: str | None = None
        self._refused = self._failed = 0

    @property
    def refused_count(self) -> int:
        """How many events the broker refused."""
        return self._refused

    @property
    def failed_count(self) -> int:
        """How many attempts to send failed."""
        return self._failed

    @property
    def last_error(self) -> str | None:
        """Why the last attempt failed."""
        return self._last_error

    @property
    def awaited(self) -> bool:
        """Whether any caller waits for an acknowledgement."""
        return bool(self._waiters)

    def expect(self, records: Sequence[Record], waiter: AckWaiter) -> None:
        """Tell `waiter` how each of `records` ends."""
        for record in records:
            waiter.expect(record)
            self._waiters[record.seq] = waiter

    def stop_waiting(self, waiter: AckWaiter) -> list[Record]:
        """Forget `waiter`. Returns those of its events that have not ended."""
        left = waiter.stop()
        for record in left:
            self._waiters.pop(record.seq, None)
        return left

    def delivered(self, record: Record) -> None:
        """The broker acknowledged `record`."""
        if self._waiters:
            self._end(record.seq, None)

    def refused(self, record: Record, failure: Failure, *, kept: bool) -> None:
        """The broker will never take `record`.

        A caller that waits for it gets the failure. If no caller waits, and the spool has not `kept` it, the next flush
        or close raises it.
        """
        self.note_error(failure.text)
        self._warn("refused", "the broker refuses an event of job %r: %s", record.key.decode(), failure.text)
        told = self._end(record.seq, failure)
        with self._lock:
            self._refused += 1
            if not told and not kept and len(self._refused_kept) < MAX_REFUSED_KEPT:
                self._refused_kept.append(record)

    def failed(self, failure: Failure) -> None:
        """An attempt to send failed; the event is tried again."""
        with self._lock:
            self._failed += 1
        self.trouble(failure.text)

    def trouble(self, text: str) -> None:
        """Log that the broker cannot be reached, or does not answer."""
        self.note_error(text)
        self._warn("trouble", "not delivered for now: %s", text)

    def slow(self, text: str) -> None:
        """Log that no answer came in time. An error that was reported before says more, so it stays the last one."""
        if self._last_error is None:
            self.note_error(text)
        self._warn("trouble", "not delivered for now: %s", text)

    def spool_trouble(self, text: str) -> None:
        """Log that the spool cannot be used. Both kinds of trouble may come together, so each has its own limit."""
        self.note_error(text)
        self._warn("spool", "%s", text)

    def note_error(self, text: str) -> None:
        """Keep `text` as the last error, and log nothing."""
        self._last_error = text

    def take_refused(self) -> list[Record]:
        """The refused records that no caller knows of yet; each is returned once."""
        with self._lock:
            taken, self._refused_kept = self._refused_kept, []
        return taken

    def _warn(self, kind: str, text: str, *args: object) -> None:
        self._throttle.log(logging.WARNING, kind, text, *args)

    def _end(self, seq: int, failure: Failure | None) -> bool:
        waiter = self._waiters.pop(seq, None)
        if waiter is not None:
            waiter.ended(seq, failure)
        return waiter is not None
