"""The producer's one background thread: runs the client's callbacks, calls events back, drains the backlog."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import Empty
from typing import Any, Final

from jobstatus_schemas.protocol import LATE_AFTER_SECONDS

from jobstatus_producer.backlog import Chunk
from jobstatus_producer.entry import Entry, now_micros
from jobstatus_producer.log import logger
from jobstatus_producer.outbox import Outbox
from jobstatus_producer.transport import Failure, failure_of

BUSY_TICK_SECONDS: Final = 0.05
CHUNK: Final = 500
CHUNK_SECONDS: Final = LATE_AFTER_SECONDS
CALL_BACK_SECONDS: Final = 2.0
BACKOFF_SECONDS: Final = (0.1, 2.0)


class Worker:
    """Made with the outbox; a daemon thread, so that it keeps no process alive: `close` and at-exit end it."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._stopping = False
        self._finish: tuple[float, Callable[[], None]] | None = None
        self._tries = 0
        self._next_try = 0.0
        self._thread = threading.Thread(target=self._run, name="jobstatus-producer", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """End the thread and wait for its end; what it was draining goes back to the backlog."""
        self._stopping = True
        self._outbox.wakeups.put("stop")
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def finish(self, seconds: float, then: Callable[[], None]) -> None:
        """Flush for up to `seconds` and then call `then`, all in the worker's thread. Safe in a signal handler."""
        self._finish = (time.monotonic() + seconds, then)
        self._outbox.wakeups.put("finish")

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._sleep()
                self.tick()
                self._finish_if_asked()
            except Exception as error:  # noqa: BLE001 - a dead worker would strand every event
                # whatever it is, the events stay where they are and the next tick tries again
                logger.exception("the producer's worker thread ran into an error; it goes on")
                self._outbox.ledger.last_error = f"{type(error).__name__}: {error}"
                self._back_off()
                time.sleep(BUSY_TICK_SECONDS)

    def _sleep(self) -> None:
        outbox = self._outbox
        if outbox.direct and outbox.ledger.awaited:
            # a caller waits for an acknowledgement: be there when it comes
            outbox.transport.poll(BUSY_TICK_SECONDS)
            return
        outbox.worker_sleeps = True
        seconds = self._sleep_seconds()
        # it wakes by itself: the calls need not
        outbox.worker_sleeps = seconds is None
        try:
            outbox.wakeups.get(timeout=seconds)
        except Empty:
            return
        finally:
            outbox.worker_sleeps = False

    def _sleep_seconds(self) -> float | None:
        outbox = self._outbox
        if len(outbox.flight):
            return BUSY_TICK_SECONDS
        if len(outbox.backlog):
            return min(BUSY_TICK_SECONDS, max(0.0, self._next_try - time.monotonic()))
        # nothing to do, unless `direct` is to be made true again
        return None if outbox.direct or outbox.settings.durable else 0.0

    def _finish_if_asked(self) -> None:
        if self._finish is None:
            return
        outbox = self._outbox
        deadline, then = self._finish
        left = outbox.unsettled(outbox.last_seq)
        if left and outbox.backlog.has_spool and (outbox.failing or time.monotonic() >= deadline):
            outbox.call_back(CALL_BACK_SECONDS)
            left = 0
        if not left or time.monotonic() >= deadline:
            self._finish = None
            then()

    def tick(self) -> None:
        """One round: callbacks, then what the state asks for."""
        outbox = self._outbox
        # all that has ended by now is served here, so what is left in flight has truly not been acknowledged
        outbox.transport.poll(0)
        if outbox.flight.failed or outbox.flight.fatal or self._overdue():
            self._call_back()
        elif outbox.direct or len(outbox.flight):
            return
        elif time.monotonic() >= self._next_try:
            if outbox.backlog.in_memory or outbox.backlog.broken:
                outbox.backlog.move_to_spool()
            self._drain()

    def _overdue(self) -> bool:
        # without a spool the Kafka client goes on trying; with one, nothing waits there for long
        return self._outbox.backlog.has_spool and self._outbox.flight.overdue(LATE_AFTER_SECONDS)

    def _call_back(self) -> None:
        """End `direct`: from now on new events go to the backlog, and what is under way follows them there."""
        outbox = self._outbox
        if not outbox.flight.failed:
            outbox.ledger.trouble(f"not acknowledged within {LATE_AFTER_SECONDS:g} s")
        outbox.flight.failed = False
        outbox.call_back(CALL_BACK_SECONDS)
        self._back_off()

    def _drain(self) -> None:
        outbox = self._outbox
        if outbox.flight.fatal:
            self._renew_client()
        # one event alone finds out whether the way is clear
        chunk = outbox.backlog.first(1 if self._tries else CHUNK)
        if not chunk.entries:
            with outbox.lock:
                outbox.direct = not len(outbox.backlog) and not outbox.settings.durable
            return
        failures = self._send(chunk.entries)
        outbox.drained += self._settle(chunk, failures)
        again = [failure for failure in failures.values() if failure is not None and not failure.refused]
        if again and not self._stopping:
            purged = Failure(f"not acknowledged within {CHUNK_SECONDS:g} s")
            outbox.ledger.fail(purged if again[0].purged else again[0])
            self._back_off()
        elif not again:
            self._tries = 0
            outbox.failing = False

    def _send(self, chunk: list[Entry]) -> dict[int, Failure | None]:
        """What became of each entry: None = delivered."""
        outbox, transport = self._outbox, self._outbox.transport
        ended: dict[int, Failure | None] = {}
        now = now_micros()
        for entry in chunk:
            failure = transport.send(
                entry.key,
                entry.value,
                partial(_note, ended, entry.seq),
                late=entry.is_late(now),
                traceparent=entry.traceparent,
            )
            if failure is not None:
                ended[entry.seq] = failure
        deadline = time.monotonic() + CHUNK_SECONDS
        while len(ended) < len(chunk) and time.monotonic() < deadline and not self._stopping:
            transport.poll(BUSY_TICK_SECONDS)
        if len(ended) < len(chunk):
            transport.purge()
        while len(ended) < len(chunk):
            transport.poll(BUSY_TICK_SECONDS)
        outbox.flight.fatal = outbox.flight.fatal or any(failure.fatal for failure in ended.values() if failure)
        return ended

    def _settle(self, chunk: Chunk, failures: dict[int, Failure | None]) -> int:
        outbox = self._outbox
        delivered = [entry for entry in chunk.entries if failures[entry.seq] is None]
        for entry in chunk.entries:
            failure = failures[entry.seq]
            if failure is not None and failure.refused:
                kept = outbox.backlog.refuse(entry, failure.text, chunk.orphan)
                outbox.ledger.refuse(entry, failure, kept=kept)
        outbox.backlog.settle(delivered, chunk.orphan)
        for entry in delivered:
            outbox.ledger.delivered(entry.seq)
        return len(delivered)

    def _renew_client(self) -> None:
        outbox = self._outbox
        old, outbox.transport = outbox.transport, outbox.open_transport()
        outbox.flight.fatal = False
        old.close()

    def _back_off(self) -> None:
        first, most = BACKOFF_SECONDS
        self._tries += 1
        self._outbox.failing = True
        bound = min(most, first * 2 ** min(self._tries, 10))
        self._next_try = time.monotonic() + random.uniform(0.0, bound)  # noqa: S311 - jitter


def _note(ended: dict[int, Failure | None], seq: int, error: Any, _message: Any) -> None:
    ended[seq] = None if error is None else failure_of(error)
