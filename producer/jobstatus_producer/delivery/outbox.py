"""Where an event goes: straight to the Kafka client, or to the backlog behind those that wait there.

The order of one producer's events rests on one rule. While the route is `DIRECT`, the backlog is empty and events go
to the Kafka client. When a record comes back, or the client keeps it too long, the route ends: everything in flight
is called back into the backlog, and new events queue behind it. Only when the sender has emptied the backlog is the
route `DIRECT` again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from threading import RLock, get_ident
from typing import Final

from jobstatus_schemas import CODEC, Codec, JobStatusEvent

from jobstatus_producer.clock import PROCESS_CLOCK, StrictClock
from jobstatus_producer.delivery.acks import Acks, AckWaiter
from jobstatus_producer.delivery.backlog import Backlog, Chunk, SpoolState
from jobstatus_producer.delivery.first_tries import FirstTries
from jobstatus_producer.delivery.kafka_client import SILENT_SECONDS, KafkaClient
from jobstatus_producer.delivery.room import fit_in_memory
from jobstatus_producer.delivery.sending import Sending
from jobstatus_producer.delivery.spool_calls import SpoolCalls
from jobstatus_producer.delivery.state import Phase, Route
from jobstatus_producer.delivery.stats import Counted, Stats, stats_of
from jobstatus_producer.delivery.transport import Failure, FailureKind, KafkaTransport, OpenTransport
from jobstatus_producer.delivery.wakeups import Wakeups
from jobstatus_producer.errors import ProducerClosedError, summary
from jobstatus_producer.log import log_lost
from jobstatus_producer.record import CheckedUpdate, Record
from jobstatus_producer.settings import ProducerSettings

POLL_EVERY: Final = 256
"""One call in so many runs the client's callbacks, if more than `POLL_ABOVE` records are in flight.

If every call did, 16 threads would compete for the interpreter's lock. If only the sender did, the callbacks would
fall behind busy threads.
"""
POLL_ABOVE: Final = 256
BUSY_TICK_SECONDS: Final = 0.05
"""How long the sender sleeps at most while an event waits."""
DEFAULT_BLOCK_SECONDS: Final = 5.0
CALL_BACK_SECONDS: Final = 2.0
"""How long the client may take for the callbacks of what is called back."""
ENDS_WITHIN_SECONDS: Final = 10.0
"""What the end of a process may take after its flush: other producers flush, too, and spools are closed."""

# for the lines that every call runs: in Python 3.11 an enum's attribute takes five times as long as a global
_DIRECT: Final = Route.DIRECT
_OPEN: Final = Phase.OPEN
_OVER: Final = (Phase.CLOSED, Phase.PROCESS_ENDED)
_WITH_PROCESS: Final = (Phase.PROCESS_ENDING, Phase.PROCESS_ENDED)


class Outbox:
    """Owns every accepted event until the broker has acknowledged it, and the state of the delivery. Thread-safe.

    Calls put events in; the sender's thread drives the delivery by the methods in the second half.
    """

    def __init__(
        self,
        settings: ProducerSettings,
        *,
        clock: StrictClock = PROCESS_CLOCK,
        codec: Codec = CODEC,
        open_transport: OpenTransport = KafkaTransport,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._codec = codec
        # reentrant, because a signal handler that reports may interrupt a thread that holds the lock
        self._lock = RLock()
        self._phase = Phase.OPEN
        self._putting: int | None = None
        """the thread whose call is under way"""
        self._set_aside: deque[tuple[Sequence[CheckedUpdate], AckWaiter | None]] = deque()
        """what signal handlers reported in the middle of a call of the same thread"""
        self._wakeups = Wakeups()
        self._acks = Acks()
        self._accepted = self._drained = self._rejected = 0
        # before the backlog: a wrong setting fails here, and nothing is left in the spool folder
        self._client = KafkaClient(settings, self._acks, open_transport, silent_seconds)
        try:
            self._backlog = Backlog(settings, self._acks.spool_trouble)
        except BaseException:
            self._client.close()
            raise
        self._first_tries = FirstTries(self._client, self._backlog, self._acks)
        # a bound that is set also holds for the spool's disk, which no thread can be called back from
        is_bounded = settings.max_block_seconds is not None and self._backlog.has_spool
        self._spool_calls = SpoolCalls(self._put, self._keep, durable=settings.durable) if is_bounded else None
        # a durable producer has each event in its spool first, so its route is never direct
        waits = settings.durable or len(self._backlog) or self._client.not_ready(0)
        self._route = Route.DRAINING if waits else Route.DIRECT
        # what was taken over is flushed with the rest, and everything new comes after it
        self._last_seq = self._backlog.newest() or 0
        clock.rise_above(self._last_seq)

    # --- calls ---

    def put(
        self,
        updates: Sequence[CheckedUpdate],
        waiter: AckWaiter | None = None,
        *,
        may_block: bool = True,
        seconds: float | None = None,
    ) -> bool:
        """Accept all of `updates` and return True, or accept none and return False, because there is no room.

        May block on the spool file, or on another call that uses it; where calls are bounded for up to `seconds`, and
        not at all without it. With `may_block` False it never does. It returns False where it would have to block for
        longer. `waiter` learns how the events end. Raises `ProducerClosedError`.
        """
        if self._putting == get_ident():
            # a signal handler interrupted a call of this thread. That call's events may have their times already, so
            # those of the handler come behind them
            self._set_aside.append((updates, waiter))
            return True
        spool_calls = self._spool_calls
        try:
            if may_block and spool_calls is None:
                return self._put(updates, waiter)
            # else not even the lock: a thread that writes to the spool, or ends a drain, holds it for long
            is_next = spool_calls is None or spool_calls.is_idle
            if self._route is _DIRECT and is_next and self._put(updates, waiter, may_block=False):
                return True
            if not may_block or spool_calls is None or seconds is None:
                return False
            return spool_calls.put(updates, waiter, seconds)
        except ProducerClosedError:
            if self._phase in _WITH_PROCESS:
                # no caller is left to handle an error: the signal ends the process in the middle of this sleep
                time.sleep(self._settings.close_seconds + ENDS_WITHIN_SECONDS)
            raise

    def _keep(self, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None) -> None:
        """Take `updates` in any case: their caller counts them as accepted."""
        with self._lock:
            if self._phase in _OVER:
                self.log_lost(self.as_events(updates))
            else:
                self._accept(updates, waiter, must_take=True)

    def _put(self, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None, *, may_block: bool = True) -> bool:
        with self._lock:
            phase = self._phase
            if phase is not _OPEN:
                raise ProducerClosedError("the producer is closed; nothing was queued")
            self._putting = get_ident()
            try:
                accepted = self._accept(updates, waiter, may_block=may_block)
            finally:
                try:
                    self._accept_set_aside()
                finally:
                    # also if a handler raises right here: else every later call of this thread would be set aside
                    self._putting = None
            if self._phase in _OVER:
                text = "the producer was closed in the middle of this call: whether its event arrives is not known"
                raise ProducerClosedError(text)
            if not accepted:
                return False
            due = may_block and self._accepted % POLL_EVERY < len(updates)
        if self._wakeups.needed:
            self._wakeups.wake()
        if due and len(self._first_tries) > POLL_ABOVE:
            self._client.transport.poll(0)
        return True

    def _accept(
        self,
        updates: Sequence[CheckedUpdate],
        waiter: AckWaiter | None,
        *,
        may_block: bool = True,
        must_take: bool = False,
    ) -> bool:
        stamp, codec = self._clock.stamp, self._codec
        records = [update.stamped(stamp(), codec) for update in updates]
        if waiter is not None:
            self._acks.expect(records, waiter)
        if not self._dispatch(records, may_block=may_block):
            if not must_take:
                if waiter is not None:
                    self._acks.stop_waiting(waiter)
                return False
            self._leave_direct()
            self._backlog.hold(records)
        # the higher of both: a handler that flushes in the middle of a call has accepted later events before this
        self._last_seq = max(self._last_seq, records[-1].seq)
        self._accepted += len(records)
        return True

    def _accept_set_aside(self) -> None:
        while self._set_aside:
            # the handler's call has returned already, so there is no way to tell it that there is no room
            self._accept(*self._set_aside.popleft(), must_take=True)

    def _dispatch(self, records: Sequence[Record], *, may_block: bool) -> bool:
        fits = fit_in_memory(records, self._settings, self._first_tries, self._backlog)
        if self._route is _DIRECT and fits:
            transport = self._client.transport
            for record in records:
                self._first_tries.hand_over(transport, record)
            return True
        if not may_block:
            return False
        if self._route is Route.DIRECT and not self._backlog.has_spool:
            return False
        # with a spool, no room in memory is a reason to use it; the sender opens the direct route again
        self._leave_direct()
        return self._backlog.accept(records, in_memory=fits)

    @property
    def block_seconds(self) -> float:
        """How long a call may wait for room. By default: not at all with a spool that works, else 5 s."""
        if self._settings.max_block_seconds is not None:
            return self._settings.max_block_seconds
        return 0.0 if self._backlog.has_spool and self._backlog.spool_works else DEFAULT_BLOCK_SECONDS

    def reject(self, updates: Sequence[CheckedUpdate]) -> None:
        """Count `updates` as not accepted for want of room."""
        self._rejected += len(updates)

    def as_events(self, updates: Sequence[CheckedUpdate]) -> list[JobStatusEvent]:
        """The events of `updates` that found no room, for the error that carries them."""
        return self.events_of([update.stamped(self._clock.stamp(), self._codec) for update in updates])

    def events_of(self, records: Iterable[Record]) -> list[JobStatusEvent]:
        """The events in `records`, for the error that carries them."""
        return [record.event(self._codec) for record in records]

    def stop_waiting(self, waiter: AckWaiter) -> list[Record]:
        """Forget `waiter`. Returns those of its events that are neither acknowledged nor refused."""
        return self._acks.stop_waiting(waiter)

    def take_refused(self) -> list[JobStatusEvent]:
        """The refused events that no caller knows of yet; each is returned once."""
        return self.events_of(self._acks.take_refused())

    def accept_set_aside(self) -> None:
        """Accept now what a signal handler reported in the middle of a call. May block on another call.

        A handler that flushes needs this: the call that it interrupted goes on after the flush, if it does at all.
        """
        with self._lock:
            self._accept_set_aside()

    @property
    def newest_accepted(self) -> int:
        """The `seq` of the newest event that was accepted. Takes no lock, which an interrupted call may hold."""
        return self._last_seq

    def unsettled(self, up_to: int) -> int:
        """How many records are neither acknowledged nor refused; 0 if all of them are newer than `up_to`."""
        in_flight, waiting = self._first_tries.oldest(), self._backlog.oldest()
        if (in_flight is None or in_flight.seq > up_to) and (waiting is None or waiting > up_to):
            return 0
        return len(self._first_tries) + len(self._backlog)

    def refuse_more(self, *, process_ends: bool = False) -> None:
        """From now on `put` raises; what was accepted is still sent. If the process ends, calls do not return."""
        with self._lock:
            over = self._phase in _OVER
            if process_ends:
                self._phase = Phase.PROCESS_ENDED if over else Phase.PROCESS_ENDING
            elif self._phase is Phase.OPEN:
                self._phase = Phase.CLOSING

    def give_up(self, seconds: float) -> list[JobStatusEvent]:
        """The end, after the sender's: send nothing more and let go of the client. Blocks for about `seconds`.

        Returns the events that are neither delivered nor spooled; a second call returns them again.
        """
        # before the lock is waited for: a call that holds it sees this at its end
        self._phase = Phase.PROCESS_ENDED if self._phase in _WITH_PROCESS else Phase.CLOSED
        self._leave_direct()
        self._first_tries.call_back_all(seconds)
        self._client.close()
        if self._spool_calls is not None:
            self._spool_calls.close()
        return self.events_of(self._backlog.close())

    def log_lost(self, events: Sequence[JobStatusEvent]) -> None:
        """Log the `events` that are lost because the process ends: no caller can be given them."""
        if events:
            log_lost(summary(events), self.last_error or "no answer")

    def after_fork(self) -> None:
        """To be called in a forked child: everything here remains the parent's."""
        self._backlog.after_fork()

    @property
    def last_error(self) -> str | None:
        """Why the last attempt to send failed."""
        return self._acks.last_error

    def stats(self) -> Stats:
        """This moment, in numbers. Never blocks on the broker; may block on a spool file."""
        counted = Counted(self._accepted, self._drained, self._rejected)
        return stats_of(counted, self._first_tries, self._backlog, self._acks, self._clock.now())

    # --- the sender ---

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

    def _leave_direct(self) -> None:
        """From now on new events queue in the backlog."""
        with self._lock:
            if self._route is Route.DIRECT:
                self._route = Route.DRAINING
