"""Every accepted event until the broker has acknowledged it: what the sender and the end of a producer do with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from jobstatus_schemas import JobStatusEvent

from jobstatus_producer.delivery.backlog import Chunk, SpoolState
from jobstatus_producer.delivery.intake import Intake
from jobstatus_producer.delivery.sending import Sending
from jobstatus_producer.delivery.state import Route
from jobstatus_producer.delivery.stats import Counted, Stats, stats_of
from jobstatus_producer.delivery.transport import Failure, FailureKind

BUSY_TICK_SECONDS: Final = 0.05
"""How long the sender sleeps at most while an event waits."""
CALL_BACK_SECONDS: Final = 2.0
"""How long the client may take for the callbacks of what is called back."""


class Outbox(Intake):
    """Owns every accepted event until the broker has acknowledged it, and the state of the delivery. Thread-safe.

    Calls put events in, as `Intake` says; the sender's thread drives the delivery.
    """

    _drained = 0
    """how many events were delivered out of the backlog"""

    def unsettled(self, up_to: int) -> int:
        """How many records are neither acknowledged nor refused; 0 if all of them are newer than `up_to`."""
        in_flight, waiting = self._first_tries.oldest(), self._backlog.oldest()
        if (in_flight is None or in_flight.seq > up_to) and (waiting is None or waiting > up_to):
            return 0
        return len(self._first_tries) + len(self._backlog)

    def give_up(self, seconds: float) -> list[JobStatusEvent]:
        """The end, after the sender's: send nothing more and let go of the client. Blocks for about `seconds`.

        Returns the events that are neither delivered nor spooled; a second call returns them again.
        """
        self._close_intake()
        self._first_tries.call_back_all(seconds)
        self._client.close()
        if self._spool_calls is not None:
            self._spool_calls.close()
        return self.events_of(self._backlog.close())

    def after_fork(self) -> None:
        """To be called in a forked child: everything here remains the parent's."""
        self._backlog.after_fork()

    def stats(self) -> Stats:
        """This moment, in numbers. Never blocks on the broker; may block on a spool file."""
        counted = Counted(self._accepted, self._drained, self._rejected)
        return stats_of(counted, self._first_tries, self._backlog, self._acks, self._clock.now())

    def wake(self) -> None:
        """Make the sender look for work now. Never blocks, and is safe in a signal handler."""
        self._wakeups.wake()

    def poll(self, seconds: float) -> None:
        """Run the Kafka client's callbacks that are due; wait up to `seconds` for the first."""
        self._client.transport.poll(seconds)

    def find_broker(self) -> None:
        """If there is something to send, have a new Kafka client find its broker at once. May block for 0.1 s."""
        if len(self._first_tries) or len(self._backlog):
            self._client.transport.find_broker()

    def sleep(self, seconds_to_retry: Callable[[], float]) -> None:
        """Block until the sender has something to do; for `seconds_to_retry()` at most if there is a backlog."""
        if self._route is Route.DIRECT and self._acks.awaited:
            # a caller waits for an acknowledgement: be in the client when it comes
            self._client.transport.poll(BUSY_TICK_SECONDS)
        else:
            self._wakeups.sleep(lambda: self._seconds_to_sleep(seconds_to_retry()))

    def _seconds_to_sleep(self, seconds_to_retry: float) -> float | None:
        if len(self._first_tries):
            return BUSY_TICK_SECONDS
        if len(self._backlog):
            return min(BUSY_TICK_SECONDS, seconds_to_retry)
        # nothing to send; but if the route is not direct, a last step of the drain makes it so
        return None if self._route is Route.DIRECT or self.is_durable else seconds_to_retry

    @property
    def is_blocked(self) -> bool:
        """Whether the last attempt to drain the backlog failed."""
        return self._route is Route.BLOCKED

    @property
    def is_durable(self) -> bool:
        """Whether each event is in the spool before its call returns. The route is never direct then."""
        return self._settings.durable

    @property
    def has_spool(self) -> bool:
        """Whether there is a spool folder."""
        return self._backlog.has_spool

    @property
    def spool_is_readable(self) -> bool:
        """Whether the own spool could be read at the last attempt."""
        return self._backlog.spool_state is not SpoolState.UNREADABLE

    @property
    def may_drain(self) -> bool:
        """Whether the backlog is to be sent now: nothing in flight could be overtaken by it."""
        return self._route is not Route.DIRECT and not len(self._first_tries)

    def call_back_if_failed(self) -> int | None:
        """If a first try failed or is overdue, call all of them back into the backlog; else return None.

        Blocks for up to 2 s. Returns how many of them failed with a batch that the broker refused.
        """
        if not self._first_tries.must_call_back():
            return None
        self._leave_direct()
        found = self._first_tries.call_back_failed(CALL_BACK_SECONDS)
        self._client.renew_if_dead()
        return found

    def use_new_certificates(self) -> None:
        """Go on with a new client if a broker accepts other certificates. May block for 9 s, without a token for 19 s.

        New events queue in the backlog meanwhile, so none overtakes one that the old client has.
        """
        if self._client.has_new_certificates():
            self._leave_direct()
            deadline = time.monotonic() + CALL_BACK_SECONDS
            if not self._first_tries.wait(self._client.transport, lambda: time.monotonic() >= deadline):
                self._first_tries.call_back_all(CALL_BACK_SECONDS)
            self._client.renew()

    def move_to_spool(self) -> int:
        """Call everything back and write it to the spool. Returns how many events are not in the spool after that."""
        self._leave_direct()
        self._first_tries.call_back_all(CALL_BACK_SECONDS)
        return self._backlog.in_memory

    def prepare_attempt(self) -> Failure | None:
        """Mend the client and the spools before an attempt. Returns why nothing may go out yet. May block 0.25 s."""
        self._client.renew_if_dead()
        self._backlog.stay_in_place()
        if self._backlog.in_memory or not self._backlog.spool_works:
            self._backlog.move_to_spool()
        return self._client.not_ready()

    def next_chunk(self, count: int) -> Chunk:
        """Up to `count` records of the backlog, which go out next."""
        return self._backlog.first(count)

    def send(self, chunk: Chunk) -> Sending:
        """Hand `chunk` over to the Kafka client. Never blocks on the broker."""
        sending = Sending(chunk, self._client.transport, self._clock.now())
        if chunk.taken_over is None:
            self._backlog.note_tried(sending.taken)
        return sending

    def settle(self, sending: Sending) -> list[Failure]:
        """Forget what is acknowledged or refused for good. Returns the failures of what stays in the backlog."""
        chunk, again = sending.chunk, []
        delivered = []
        for record, failure in sending.results():
            if failure is None:
                delivered.append(record)
            elif failure.is_final(alone=len(chunk.records) == 1):
                kept = self._backlog.refuse(record, failure.text, chunk.taken_over)
                self._acks.refused(record, failure, kept=kept)
            else:
                again.append(failure)
                self._client.note(failure)
        was_answered = bool(delivered) or any(failure.kind is not FailureKind.PURGED for failure in again)
        self._client.note_attempt(answered=was_answered)
        self._backlog.settle(delivered, chunk.taken_over)
        self._drained += len(delivered)
        for record in delivered:
            self._acks.delivered(record)
        return again

    def calls_held_up(self) -> AbstractContextManager[object]:
        """While this is entered, no call of another thread is accepted; calls wait."""
        return self._lock

    def go_direct_if_empty(self) -> None:
        """End a drain: from now on new events go straight to the Kafka client. Only within `calls_held_up`."""
        if not len(self._backlog):
            self._route = Route.DIRECT

    def note_blocked(self) -> None:
        """An attempt to drain failed."""
        # without the lock, which an interrupted call may hold: only this thread, the sender's, ever makes the route
        # DIRECT, and the others only ever end that
        if self._route is Route.DRAINING:
            self._route = Route.BLOCKED

    def note_progress(self) -> None:
        """An attempt to drain went well."""
        # without the lock, as above
        if self._route is Route.BLOCKED:
            self._route = Route.DRAINING

    def note_failure(self, failure: Failure) -> None:
        """Count and log a failed attempt."""
        self._acks.failed(failure)

    def note_error(self, text: str) -> None:
        """Keep `text` as the last error."""
        self._acks.note_error(text)
