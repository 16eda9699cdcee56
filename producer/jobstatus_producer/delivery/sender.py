"""The producer's one background thread: runs the client's callbacks, calls events back, drains the backlog."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from queue import Empty
from typing import Final

from jobstatus_schemas.protocol import LATE_AFTER_SECONDS

from jobstatus_producer.delivery.drain import Drain, Stop
from jobstatus_producer.delivery.outbox import Outbox
from jobstatus_producer.log import logger

BUSY_TICK_SECONDS: Final = 0.05
CALL_BACK_SECONDS: Final = 2.0
LAST_SECONDS: Final = 1.0
"""For what was reported during the flush, as the process ends."""


class Worker:
    """Made with the outbox; a daemon thread, so that it keeps no process alive: `close` and at-exit end it."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._stop = Stop()
        self._drain = Drain(outbox, self._stop)
        self._finish: tuple[float, Callable[[], None] | None] | None = None
        self._thread = threading.Thread(target=self._run, name="jobstatus-producer", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """End the thread and wait for its end; what it was draining goes back to the backlog."""
        self._stop.wanted = True
        self._outbox.wakeups.put("stop")
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def finish(self, seconds: float, then: Callable[[], None] | None) -> None:
        """Flush for up to `seconds` in the worker's thread. Safe in a signal handler.

        Then end and call `then`, which ends the process; None: the process goes on, and so does this.
        """
        self._stop.until = time.monotonic() + seconds
        self._finish = (self._stop.until, then)
        self._outbox.wakeups.put("finish")

    def end_asked_for(self) -> Callable[[], None] | None:
        """What is to be called when the flush is done, once, by whoever ends first: the worker, or who closes."""
        finish, self._finish = self._finish, None
        return None if finish is None else finish[1]

    def _run(self) -> None:
        while not self._stop.wanted:
            try:
                self._sleep()
                self._tick()
                self._finish_if_asked()
            except Exception as error:  # noqa: BLE001 - a dead worker would strand every event
                # whatever it is, the events stay where they are and the next tick tries again
                logger.exception("the producer's worker thread ran into an error; it goes on")
                self._outbox.ledger.last_error = f"{type(error).__name__}: {error}"
                self._drain.back_off()
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
            return min(BUSY_TICK_SECONDS, self._drain.seconds_to_wait)
        # nothing to do, unless `direct` is to be made true again
        return None if outbox.direct or outbox.settings.durable else 0.0

    def _tick(self) -> None:
        outbox = self._outbox
        # all that has ended by now is served here, so what is left in flight has truly not been acknowledged
        outbox.transport.poll(0)
        if outbox.flight.failed or outbox.flight.fatal or self._overdue():
            self._call_back()
        elif not outbox.direct and not len(outbox.flight) and not self._drain.seconds_to_wait:
            self._drain.step()

    def _overdue(self) -> bool:
        # without a spool the Kafka client goes on trying, unless it holds nothing any more and a callback was lost
        outbox = self._outbox
        return outbox.flight.overdue(LATE_AFTER_SECONDS) and (outbox.backlog.has_spool or not len(outbox.transport))

    def _call_back(self) -> None:
        """End `direct`: from now on new events go to the backlog, and what is under way follows them there."""
        outbox = self._outbox
        if not outbox.flight.failed:
            outbox.ledger.trouble(f"not acknowledged within {LATE_AFTER_SECONDS:g} s")
        outbox.flight.failed = False
        outbox.call_back(CALL_BACK_SECONDS)
        if outbox.flight.fatal:
            outbox.renew_transport()
        if outbox.flight.suspects:
            # the broker answers, so there is nothing to wait for
            self._drain.send_alone(outbox.flight.suspects)
            outbox.flight.suspects = 0
        else:
            self._drain.back_off()

    def _finish_if_asked(self) -> None:
        if self._finish is None:
            return
        outbox = self._outbox
        deadline, then = self._finish
        over = time.monotonic() >= deadline
        left = outbox.unsettled(outbox.last_seq)
        if left and outbox.backlog.has_spool and (outbox.failing or over):
            outbox.call_back(CALL_BACK_SECONDS)
            left = outbox.backlog.in_memory
        if left and not over:
            return
        if then is not None:
            self._end()
        self._stop.until = math.inf
        if then := self.end_asked_for():
            then()

    def _end(self) -> None:
        outbox = self._outbox
        # what a call took from now on would be lost without a word
        outbox.ends_with_process = True
        outbox.refuse_more()
        outbox.wait_until_settled(LAST_SECONDS, unless_failing=True)
        outbox.tell_lost(outbox.give_up(CALL_BACK_SECONDS))
        self._stop.wanted = True
