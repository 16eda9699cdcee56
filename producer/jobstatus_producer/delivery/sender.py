"""The producer's one background thread: runs the Kafka client's callbacks, calls records back, drains the backlog."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

from jobstatus_producer.delivery.drain import Drain, Stop
from jobstatus_producer.delivery.outbox import BUSY_TICK_SECONDS, CALL_BACK_SECONDS, Outbox
from jobstatus_producer.delivery.waits import wait_until_settled
from jobstatus_producer.log import logger

LAST_SECONDS: Final = 1.0
"""For events that were accepted during the flush, when the process is about to end."""


class Sender:
    """Starts its thread when it is made. It is a daemon thread, which keeps no process alive: `close` ends it."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._stop = Stop()
        self._drain = Drain(outbox, self._stop)
        self._finish: tuple[float, Callable[[], None] | None] | None = None
        self._thread = threading.Thread(target=self._run, name="jobstatus-producer", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End the thread; block until it has ended, for up to `seconds`. What it was sending goes to the backlog."""
        self._stop.now()
        self._outbox.wake()
        self._thread.join(seconds)

    def finish(self, seconds: float, then: Callable[[], None] | None) -> None:
        """Flush for up to `seconds` in the sender's thread. Never blocks, and is safe in a signal handler.

        After that the thread ends and calls `then`, which ends the process. With `then` None, the process and the
        thread go on.
        """
        deadline = time.monotonic() + seconds
        self._stop.end_waits_at(deadline)
        self._finish = (deadline, then)
        self._outbox.wake()

    def take_over_finish(self) -> Callable[[], None] | None:
        """The `then` of a `finish` that is not done yet. It is returned once, to the first that asks."""
        finish, self._finish = self._finish, None
        return None if finish is None else finish[1]

    def _run(self) -> None:
        while not self._stop.wanted:
            try:
                self._outbox.sleep(self._drain.seconds_to_wait)
                self._tick()
                self._finish_if_asked()
            except Exception as error:  # noqa: BLE001 - a dead thread would leave every event undelivered
                # whatever it is, the events stay where they are, and the next tick tries again
                logger.exception("the producer's background thread ran into an error; it goes on")
                self._outbox.note_error(f"{type(error).__name__}: {error}")
                self._drain.back_off()
                time.sleep(BUSY_TICK_SECONDS)

    def _tick(self) -> None:
        # runs every callback that is due, so what is left in flight has truly not been acknowledged
        self._outbox.run_callbacks()
        self._outbox.find_broker()
        self._outbox.use_new_certificates()
        in_refused_batches = self._outbox.call_back_if_failed()
        if in_refused_batches is not None:
            self._drain.called_back(in_refused_batches)
        elif self._outbox.may_drain and not self._drain.seconds_to_wait():
            self._drain.step()

    def _finish_if_asked(self) -> None:
        if self._finish is None:
            return
        outbox = self._outbox
        deadline, then = self._finish
        over = time.monotonic() >= deadline
        left = outbox.unsettled(outbox.newest_accepted)
        if left and outbox.has_spool and (over or outbox.is_blocked):
            left = outbox.move_to_spool()
        if left and not over:
            return
        if then is not None:
            self._end()
        self._stop.end_waits_at(math.inf)
        if then := self.take_over_finish():
            then()

    def _end(self) -> None:
        outbox = self._outbox
        outbox.refuse_more(process_ends=True)
        wait_until_settled(outbox, LAST_SECONDS, unless_blocked=True)
        outbox.log_lost(outbox.give_up(CALL_BACK_SECONDS))
        self._stop.now()
