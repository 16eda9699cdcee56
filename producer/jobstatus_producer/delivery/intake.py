"""How the events of calls get in: straight to the Kafka client, or to the backlog behind those that wait there.

The order of one producer's events rests on one rule. While the route is `DIRECT`, the backlog is empty and events go
to the Kafka client. When a record comes back, or the client keeps it too long, the route ends: everything in flight
is called back into the backlog, and new events queue behind it. Only when the sender has emptied the backlog is the
route `DIRECT` again.

A direct call takes no lock: a thread that lost the interpreter while it had the lock would hold all others up. So who
ends the route, to call records back, also waits for the direct calls that are under way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from threading import RLock, get_ident
from typing import Final, TypeVarTuple

from jobstatus_schemas import CODEC, Codec, JobStatusEvent

from jobstatus_producer.clock import PROCESS_CLOCK, StrictClock
from jobstatus_producer.delivery.acks import Acks, AckWaiter
from jobstatus_producer.delivery.backlog import Backlog
from jobstatus_producer.delivery.calls import DIRECT, LOCKED, Calls, Way
from jobstatus_producer.delivery.first_tries import FirstTries
from jobstatus_producer.delivery.group import Group, LockedCall
from jobstatus_producer.delivery.in_flight import Room
from jobstatus_producer.delivery.kafka_client import SILENT_SECONDS, KafkaClient
from jobstatus_producer.delivery.spool_calls import SpoolCalls
from jobstatus_producer.delivery.state import Phase, Route
from jobstatus_producer.delivery.transport import KafkaTransport, OpenTransport
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
DEFAULT_BLOCK_SECONDS: Final = 5.0
ENDS_WITHIN_SECONDS: Final = 10.0
"""What the end of a process may take after its flush: other producers flush, too, and spools are closed."""

# for the lines that every call runs: in Python 3.11 an enum's attribute takes five times as long as a global
_DIRECT: Final = Route.DIRECT
_OPEN: Final = Phase.OPEN
_OVER: Final = (Phase.CLOSED, Phase.PROCESS_ENDED)
_WITH_PROCESS: Final = (Phase.PROCESS_ENDING, Phase.PROCESS_ENDED)
Arguments = TypeVarTuple("Arguments")


class Intake:
    """Accepts events, or refuses them for want of room, and owns their order. Thread-safe."""

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
        self._calls = Calls()
        self._group = Group()
        self._wakeups = Wakeups()
        self._acks = Acks()
        self._accepted = self._rejected = 0
        # before the backlog: a wrong setting fails here, and nothing is left in the spool folder
        self._client = KafkaClient(settings, self._acks, open_transport, silent_seconds)
        try:
            self._backlog = Backlog(settings, self._acks.spool_trouble)
        except BaseException:
            self._client.close()
            raise
        room = Room(settings.max_pending_events, settings.max_pending_bytes, any_size_alone=True)
        self._first_tries = FirstTries(self._client, self._backlog, self._acks, room)
        # a bound that is set also holds for the spool's disk, which no thread can be called back from
        is_bounded = settings.max_block_seconds is not None and self._backlog.has_spool
        self._spool_calls = SpoolCalls(self._put_locked, self._keep, durable=settings.durable) if is_bounded else None
        # a durable producer has each event in its spool first, so its route is never direct
        waits = settings.durable or len(self._backlog) or self._client.not_ready(0)
        self._route = Route.DRAINING if waits else Route.DIRECT
        # what was taken over is flushed with the rest, and everything new comes after it
        self._last_seq = self._backlog.newest() or 0
        clock.rise_above(self._last_seq)

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
        thread = get_ident()
        if thread in self._calls.under_way:
            self._calls.put_aside(thread, updates, waiter)
            return True
        spool_calls = self._spool_calls
        try:
            is_next = spool_calls is None or spool_calls.is_idle
            if self._route is _DIRECT and is_next and self._put_direct(updates, waiter, may_poll=may_block):
                return True
            if not may_block:
                # not even the lock: a thread that writes to the spool, or ends a drain, holds it for long
                return False
            if spool_calls is None:
                return self._put_locked(updates, waiter)
            return seconds is not None and spool_calls.put(updates, waiter, seconds)
        except ProducerClosedError:
            if self._phase in _WITH_PROCESS:
                # no caller is left to handle an error: the signal ends the process in the middle of this sleep
                time.sleep(self._settings.close_seconds + ENDS_WITHIN_SECONDS)
            raise

    def _put_direct(self, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None, *, may_poll: bool) -> bool:
        total = self._call(DIRECT, self._accept_direct, updates, waiter)
        if not total:
            return False
        if self._wakeups.needed:
            self._wakeups.wake()
        if may_poll and total % POLL_EVERY < len(updates) and len(self._first_tries) > POLL_ABOVE:
            self._client.transport.poll(0)
        return True

    def _put_locked(self, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None) -> bool:
        call = LockedCall(updates, waiter)
        try:
            self._group.join(call)
            with self._lock:
                if call.accepted is None:
                    self._call(LOCKED, self._accept_group, call)
        finally:
            self._group.leave(call)
        if self._wakeups.needed:
            self._wakeups.wake()
        return bool(call.accepted)

    def _call(self, way: Way, accept: Callable[[*Arguments], int], *arguments: *Arguments) -> int:
        """`accept`, as the call of this thread that is under way."""
        thread, calls = get_ident(), self._calls
        calls.under_way[thread] = way
        try:
            phase = self._phase
            if phase is not _OPEN:
                raise ProducerClosedError("the producer is closed; nothing was queued")
            accepted = accept(*arguments)
        finally:
            try:
                # without a call, so that no handler sets aside between the last look and the end
                while thread in calls.set_aside and calls.set_aside[thread]:  # noqa: RUF019
                    # no longer on the direct way: these may have to wait for the lock, whose owner waits for that way
                    calls.under_way[thread] = LOCKED
                    calls.accept_next(thread, self._keep)
            finally:
                # also if a handler raises right here: else every later call of this thread would be set aside
                del calls.under_way[thread]
        if self._phase in _OVER:
            text = "the producer was closed in the middle of this call: whether its event arrives is not known"
            raise ProducerClosedError(text)
        return accepted

    def _accept_direct(self, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None) -> int:
        """Returns how many events were accepted so far, or 0 if the Kafka client can have none of these now."""
        if self._route is not _DIRECT:
            return 0
        records = self._records_of(updates, waiter)
        if self._first_tries.hand_over_all(records):
            return self._count(len(records))
        if waiter is not None:
            self._acks.stop_waiting(waiter)
        return 0

    def _accept_group(self, own: LockedCall) -> int:
        """With the lock, accept the events of all calls that wait for it."""
        calls = self._group.take(own)
        for call in calls:
            call.records = call.records or self._records_of(call.updates, call.waiter)
        # no room for all of them may still be room for some
        if len(calls) == 1 or not self._dispatch([record for call in calls for record in call.records], calls):
            for call in calls:
                if not self._dispatch(call.records, [call]):
                    call.accepted = False
                    if call.waiter is not None:
                        self._acks.stop_waiting(call.waiter)
        return self._accepted

    def _dispatch(self, records: Sequence[Record], calls: Sequence[LockedCall]) -> bool:
        """With the lock, put the `records` of `calls` where the route leads. False: there is no room for all."""
        if not self._place(records):
            return False
        for call in calls:
            call.accepted = True
        self._count(len(records))
        return True

    def _place(self, records: Sequence[Record]) -> bool:
        if self._route is not _DIRECT:
            return self._backlog.accept(records, in_memory=self._first_tries.fit_in_memory(records))
        if self._first_tries.hand_over_all(records):
            return True
        if not self._backlog.has_spool:
            return False
        # with a spool, no room in memory is a reason to use it; the sender opens the direct route again
        self._leave_direct()
        return self._backlog.accept(records, in_memory=False)

    def _keep(self, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None) -> None:
        """Take `updates` in any case: their caller counts them as accepted."""
        with self._lock:
            if self._phase in _OVER:
                self.log_lost(self.as_events(updates))
                return
            records = self._records_of(updates, waiter)
            if not self._dispatch(records, ()):
                self._leave_direct()
                self._backlog.hold(records)
                self._count(len(records))

    def _records_of(self, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None) -> list[Record]:
        stamp, codec = self._clock.stamp, self._codec
        records = [update.stamped(stamp(), codec) for update in updates]
        newest = records[-1].seq
        # before they are in flight: so nothing that is in flight when a flush begins is newer than this. In one step
        self._last_seq = newest if newest > self._last_seq else self._last_seq
        if waiter is not None:
            self._acks.expect(records, waiter)
        return records

    def _count(self, more: int) -> int:
        """Count accepted events. Returns how many they are by now."""
        # one step
        self._accepted = total = self._accepted + more
        return total

    def _leave_direct(self) -> None:
        """From now on new events queue in the backlog. Direct calls that are under way go on."""
        with self._lock:
            if self._route is Route.DIRECT:
                self._route = Route.DRAINING

    def _end_direct(self) -> None:
        """`_leave_direct`, and block until no call of another thread is on the direct way any more."""
        self._leave_direct()
        # without the lock: a handler that has interrupted such a call may wait for it
        self._calls.wait_for_direct_ones()

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
            self._calls.accept_all(self._keep)

    @property
    def newest_accepted(self) -> int:
        """The `seq` of the newest event that was accepted. Takes no lock, which an interrupted call may hold."""
        return self._last_seq

    def refuse_more(self, *, process_ends: bool = False) -> None:
        """From now on `put` raises; what was accepted is still sent. If the process ends, calls do not return.

        Blocks until the direct calls of other threads have ended.
        """
        with self._lock:
            over = self._phase in _OVER
            if process_ends:
                self._phase = Phase.PROCESS_ENDED if over else Phase.PROCESS_ENDING
            elif self._phase is Phase.OPEN:
                self._phase = Phase.CLOSING
        self._calls.wait_for_direct_ones()

    def _close_intake(self) -> None:
        """Accept nothing more, and have calls that are under way end with an error."""
        # before the lock is waited for: a call that has it sees this at its end
        self._phase = Phase.PROCESS_ENDED if self._phase in _WITH_PROCESS else Phase.CLOSED
        self._end_direct()

    def log_lost(self, events: Sequence[JobStatusEvent]) -> None:
        """Log the `events` that are lost because the process ends: no caller can be given them."""
        if events:
            log_lost(summary(events), self.last_error or "no answer")

    @property
    def last_error(self) -> str | None:
        """Why the last attempt to send failed."""
        return self._acks.last_error
