"""Sends the backlog, in order, until it is empty and new events may go to the Kafka client again."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from jobstatus_producer.delivery.in_flight import MAX_TRY_SECONDS
from jobstatus_producer.delivery.outbox import Outbox
from jobstatus_producer.delivery.sending import Sending
from jobstatus_producer.delivery.transport import Failure, FailureKind

CHUNK: Final = 500
LAST_CHUNK: Final = 100
BACKOFF_SECONDS: Final = (0.1, 2.0)
UNREADABLE_SECONDS: Final = 0.5
"""Between two attempts to read a spool that cannot be read, while there is nothing else to send."""


class Bounds(NamedTuple):
    """How long a step of the drain may wait, in seconds."""

    chunk: float = MAX_TRY_SECONDS
    """for the acknowledgement of a chunk"""
    last_chunk: float = 0.25
    """for that of the last chunk, during which calls wait: else a steady stream of new events never lets a drain end"""
    call_back: float = 1.0
    """for the client's callbacks of what is called back"""


BOUNDS: Final = Bounds()


class Stop:
    """Ends the waits of the sender's thread. Signal handlers call it, so it takes no lock."""

    def __init__(self) -> None:
        self.wanted = False
        self._until = math.inf

    def now(self) -> None:
        """End every wait at once, and the thread with it."""
        self.wanted = True

    def end_waits_at(self, deadline: float) -> None:
        """No wait may last beyond `deadline`, by `time.monotonic`; `math.inf` removes the bound."""
        self._until = deadline

    def at(self, deadline: float) -> Callable[[], bool]:
        """The question whether a wait until `deadline` is over."""
        return lambda: self.wanted or time.monotonic() >= min(deadline, self._until)


class Drain:
    """Decides when to try the backlog again, and with how many records. Used by the sender's thread alone."""

    def __init__(self, outbox: Outbox, stop: Stop, bounds: Bounds = BOUNDS) -> None:
        self._outbox = outbox
        self._stop = stop
        self._bounds = bounds
        self._failed_tries = 0
        self._next_try = 0.0
        self._one_by_one = 0
        """how many of the next records go out alone, to find the one for which the broker refused a batch"""

    def seconds_to_wait(self) -> float:
        """Until the next attempt."""
        return max(0.0, self._next_try - time.monotonic())

    def back_off(self) -> None:
        """An attempt failed: wait longer before the next, with jitter. The next attempt sends one record alone."""
        first, most = BACKOFF_SECONDS
        self._failed_tries += 1
        self._outbox.note_blocked()
        bound = min(most, first * 2 ** min(self._failed_tries, 10))
        self._next_try = time.monotonic() + random.uniform(0.0, bound)  # noqa: S311 - jitter

    def called_back(self, in_refused_batches: int) -> None:
        """First tries were called back into the backlog, some of them out of batches that the broker refused."""
        if in_refused_batches:
            # the broker answers, so there is nothing to wait for
            self._one_by_one += in_refused_batches
        else:
            self.back_off()

    def step(self) -> None:
        """Send the next chunk and block until it is acknowledged, failed or called back."""
        outbox = self._outbox
        not_ready = outbox.prepare_attempt()
        if not_ready is not None:
            self._note(not_ready)
            return
        # after a failure, one record alone finds out whether the broker can be reached
        alone = self._failed_tries or self._one_by_one
        chunk = outbox.next_chunk(1 if alone else CHUNK)
        if not chunk.records and not outbox.spool_is_readable:
            self._next_try = time.monotonic() + UNREADABLE_SECONDS
        elif alone or outbox.is_durable or len(chunk.records) > LAST_CHUNK:
            self._finish(outbox.send(chunk))
        else:
            self._last_step()

    def _last_step(self) -> None:
        outbox = self._outbox
        with outbox.calls_held_up():
            # no call can add a record now: when these are acknowledged, the backlog is empty
            sending = outbox.send(outbox.next_chunk(CHUNK))
            if sending.wait_until_ended(self._stop.at(time.monotonic() + self._bounds.last_chunk)):
                self._settle(sending)
                outbox.go_direct_if_empty()
                return
        self._finish(sending)

    def _finish(self, sending: Sending) -> None:
        if not sending.wait_until_ended(self._stop.at(time.monotonic() + self._bounds.chunk)):
            sending.give_up(self._bounds.call_back)
        self._settle(sending)

    def _settle(self, sending: Sending) -> None:
        self._one_by_one = max(0, self._one_by_one - len(sending.chunk.records))
        again = self._outbox.settle(sending)
        in_refused_batches = sum(failure.kind is FailureKind.BATCH_REFUSED for failure in again)
        self._one_by_one += in_refused_batches
        self._note(next((each for each in again if each.kind is not FailureKind.BATCH_REFUSED), None))

    def _note(self, failure: Failure | None) -> None:
        if failure is None:
            self._failed_tries = 0
            self._outbox.note_progress()
            return
        if not self._stop.wanted:
            self._outbox.note_failure(failure)
        self.back_off()
