"""How the events of calls get in: straight to the Kafka client, or to the backlog behind those that wait there.

The order of one producer's events rests on one rule. While the route is `DIRECT`, the backlog is empty and events go
to the Kafka client. When a record comes back, or the client keeps it too long, the route ends: everything in flight
is called back into the backlog, and new events queue behind it. Only when the sender has emptied the backlog is the
route `DIRECT` again.

One lock makes the order. Direct calls never queue for it: if a thread loses the interpreter while it has the lock, all
others would come to wait in that queue, and from then on each call would end in a switch of threads. They try the lock,
and sleep for a moment if another thread has it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from threading import RLock, get_ident
from typing import Final, TypeVarTuple

from jobstatus_schemas import CODEC, Codec, JobStatusEvent

from jobstatus_producer.clock import PROCESS_CLOCK, StrictClock
from jobstatus_producer.delivery.acks import Acks, AckWaiter
from jobstatus_producer.delivery.backlog import Backlog
from jobstatus_producer.delivery.first_tries import FirstTries
from jobstatus_producer.delivery.group import Group, LockedCall
from jobstatus_producer.delivery.kafka_client import SILENT_SECONDS, KafkaClient
from jobstatus_producer.delivery.room import fit_in_memory
from jobstatus_producer.delivery.spool_calls import SpoolCalls
from jobstatus_producer.delivery.state import Phase, Route
from jobstatus_producer.delivery.transport import KafkaTransport, OpenTransport
from jobstatus_producer.delivery.wakeups import Wakeups
from jobstatus_producer.errors import ProducerClosedError, summary
from jobstatus_producer.log import log_lost
from jobstatus_producer.record import CheckedUpdate, Record
from jobstatus_producer.settings import ProducerSettings

POLL_EVERY: Final = 256
"""One call in so many runs the client's callbacks, if more than `POLL_ABOVE` records are in flight and no other thread
does.

If every call did, 16 threads would compete for the interpreter's lock. If only the sender did, the callbacks would
fall behind busy threads.
"""
POLL_ABOVE: Final = 256
TURN_SECONDS: Final = (0.0005, 0.008)
"""How long a direct call sleeps at first, and at most, while another thread has the lock.

That one needs it for microseconds, but may have lost the interpreter: it goes on once the others sleep.
"""
CALLBACKS_SECONDS: Final = 0.1
"""For how long, at most, direct calls of other threads let callbacks run alone. 256 of them take half a millisecond."""
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
        self._calling: int | None = None
        """the thread whose call is under way, with the lock"""
        self._callbacks_until = 0.0
        """by `time.monotonic`: until then a thread runs the client's callbacks, and has the interpreter for itself"""
        self._reported: set[int] = set()
        """the threads that have reported while these callbacks run; not the one that runs them"""
        self._running_callbacks: int | None = None
        """the thread that runs them"""
        self._set_aside: deque[LockedCall] = deque()
        """what signal handlers reported in the middle of a call of the same thread"""
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
        self._first_tries = FirstTries(self._client, self._backlog, self._acks)
        # a bound that is set also holds for the spool's disk, which no thread can be called back from
        is_bounded = settings.max_block_seconds is not None and self._backlog.has_spool
        self._spool_calls: SpoolCalls | None = None
        if is_bounded:
            self._spool_calls = SpoolCalls(self._put_locked, self._keep_late, durable=settings.durable)
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
        not at all without it. May sleep for 0.1 s as well, while another thread runs the Kafka client's callbacks. With
        `may_block` False it does neither. It returns False where it would have to block for longer.
        `waiter` learns how the events end. Raises `ProducerClosedError`.
        """
        if self._calling == get_ident():
            # a signal handler interrupted a call of this thread. That call's events may have their times already, so
            # those of the handler come behind them
            self._set_aside.append(LockedCall(updates, waiter))
            return True
        spool_calls = self._spool_calls
        try:
            is_next = spool_calls is None or spool_calls.is_idle
            if self._route is _DIRECT and is_next and self._put_direct(updates, waiter, may_block=may_block):
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
        except BaseException:
            # raised by a signal handler. Something may have been accepted before, and the sender may sleep
            self._wakeups.wake()
            raise

    def _put_direct(self, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None, *, may_block: bool) -> bool:
        """False: the Kafka client cannot have them now; or it would have to wait, and must not."""
        lock, has_lock = self._lock, False
        if lock._is_owned():  # type: ignore[attr-defined]
            # a signal handler interrupted what this thread does with the lock: nothing to wait for, so not this way
            return False
        nap, longest = TURN_SECONDS
        if may_block and self._callbacks_until and self._reports_again():
            self._let_callbacks_run()
        try:
            while not (has_lock := lock.acquire(blocking=False)):
                if not may_block or self._route is not _DIRECT:
                    return False
                time.sleep(nap)
                nap = min(2 * nap, longest)
            total = self._call(self._accept_direct, updates, waiter)
        finally:
            # a signal handler may have raised between the lock and its note
            if has_lock or lock._is_owned():  # type: ignore[attr-defined]
                lock.release()
        if not total:
            return False
        if self._wakeups.needed:
            self._wakeups.wake()
        if may_block and total % POLL_EVERY < len(updates) and len(self._first_tries) > POLL_ABOVE:
            self._run_callbacks_unless_run()
        return True

    def run_callbacks(self) -> None:
        """Run the Kafka client's callbacks that are due, after those that another thread runs now."""
        self._let_callbacks_run()
        self._run_callbacks()

    def _run_callbacks_unless_run(self) -> None:
        # not only whether it is 0: a signal handler may have raised before it was set back
        if time.monotonic() >= self._callbacks_until:
            self._run_callbacks()

    def _run_callbacks(self) -> None:
        """Run the callbacks while direct calls of other threads sleep.

        The client takes the interpreter anew for each callback. If other threads wanted it, each callback would wait
        for its turn, and end in two switches of threads.
        """
        self._running_callbacks, self._reported = get_ident(), set()
        self._callbacks_until = time.monotonic() + CALLBACKS_SECONDS
        try:
            self._client.transport.poll(0)
        finally:
            self._callbacks_until = 0.0

    def _reports_again(self) -> bool:
        """Whether this thread has reported since another one began to run the callbacks.

        One that seldom reports need not sleep for them, and a callback that reports must not.
        """
        thread, reported = get_ident(), self._reported
        again = thread in reported
        if thread != self._running_callbacks:
            reported.add(thread)
        return again

    def _let_callbacks_run(self) -> None:
        """Sleep while another thread runs the callbacks; for a bounded time, because a callback may wait for a call."""
        nap, longest = TURN_SECONDS
        until = self._callbacks_until
        while self._callbacks_until and time.monotonic() < until:
            time.sleep(nap)
            nap = min(2 * nap, longest)

    def _put_locked(self, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None) -> bool:
        call = LockedCall(updates, waiter)
        try:
            self._group.join(call)
            with self._lock:
                if call.accepted is None:
                    self._call(self._accept_group, call)
        finally:
            self._group.leave(call)
        if self._wakeups.needed:
            self._wakeups.wake()
        return bool(call.accepted)

    def _call(self, accept: Callable[[*Arguments], int], *arguments: *Arguments) -> int:
        """With the lock: `accept`, as the call that is under way, and then what was set aside for its end."""
        phase = self._phase
        if phase is not _OPEN:
            raise ProducerClosedError("the producer is closed; nothing was queued")
        self._calling = get_ident()
        try:
            accepted = accept(*arguments)
        finally:
            try:
                self._accept_set_aside()
            finally:
                # also if a handler raises right here: else every later call of this thread would be set aside
                self._calling = None
        if self._phase in _OVER:
            text = "the producer was closed in the middle of this call: whether its event arrives is not known"
            raise ProducerClosedError(text)
        return accepted

    def _accept_set_aside(self) -> None:
        while self._set_aside:
            # without a call in between, so that no handler comes between the two
            report = self._set_aside[0]
            del self._set_aside[0]
            try:
                # the handler's call has returned already, so there is no way to tell it that there is no room
                self._keep(report)
            except BaseException:
                # raised by another handler. The report counts as accepted, so it waits for the next call or flush
                if report.accepted is None:
                    self._set_aside.appendleft(report)
                raise

    def _accept_direct(self, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None) -> int:
        """Returns how many events were accepted so far, or 0 if the Kafka client can have none of these now."""
        if self._route is not _DIRECT:
            return 0
        records = self._records_of(updates, waiter)
        if self._hand_over(records):
            return self._count(len(records))
        if waiter is not None:
            self._acks.stop_waiting(waiter)
        return 0

    def _accept_group(self, own: LockedCall) -> int:
        """Accept the events of all calls that wait for the lock. Returns how many calls they are."""
        # on the direct way they share nothing, and what is interrupted there must not go out twice
        calls = [own] if self._route is _DIRECT else self._group.take(own)
        for call in calls:
            self._make_records(call)
        # no room for all of them may still be room for some
        if len(calls) == 1 or not self._dispatch_together(calls):
            for call in calls:
                if not self._dispatch(call.records, [call]):
                    call.accepted = False
                    if call.waiter is not None:
                        self._acks.stop_waiting(call.waiter)
        return len(calls)

    def _make_records(self, call: LockedCall) -> None:
        if call.records:
            # a handler raised in the thread that had these: a copy may be on its way
            self._backlog.note_tried([record.seq for record in call.records])
        else:
            call.records = self._records_of(call.updates, call.waiter)

    def _dispatch_together(self, calls: Sequence[LockedCall]) -> bool:
        records = [record for call in calls for record in call.records]
        # only one call may have more bytes than memory has room for
        fit = sum(len(record.value) for record in records) <= self._settings.max_pending_bytes
        return fit and self._dispatch(records, calls)

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
            return self._backlog.accept(records, in_memory=self._fit_in_memory(records))
        if self._hand_over(records):
            return True
        if not self._backlog.has_spool:
            return False
        # with a spool, no room in memory is a reason to use it; the sender opens the direct route again
        self._leave_direct()
        return self._backlog.accept(records, in_memory=False)

    def _hand_over(self, records: Sequence[Record]) -> bool:
        """Give `records` to the Kafka client. False: memory has no room for all of them, so none is given."""
        if not self._fit_in_memory(records):
            return False
        transport = self._client.transport
        for record in records:
            self._first_tries.hand_over(transport, record)
        return True

    def _fit_in_memory(self, records: Sequence[Record]) -> bool:
        return fit_in_memory(records, self._settings, self._first_tries, self._backlog)

    def _keep_late(self, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None) -> None:
        self._keep(LockedCall(updates, waiter))

    def _keep(self, call: LockedCall) -> None:
        """Take the events of `call` in any case: its caller counts them as accepted."""
        with self._lock:
            if self._phase in _OVER:
                self.log_lost(self.as_events(call.updates))
                call.accepted = False
                return
            is_again = bool(call.records) and self._route is Route.DIRECT
            self._make_records(call)
            if is_again or not self._dispatch(call.records, [call]):
                # the direct way has no late mark for what an interrupted attempt may have sent
                self._leave_direct()
                self._backlog.hold(call.records)
                call.accepted = True
                self._count(len(call.records))

    def _records_of(self, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None) -> list[Record]:
        stamp, codec = self._clock.stamp, self._codec
        records = [update.stamped(stamp(), codec) for update in updates]
        # the higher of both: a handler that flushes in the middle of a call has accepted later events before this
        self._last_seq = max(self._last_seq, records[-1].seq)
        if waiter is not None:
            self._acks.expect(records, waiter)
        return records

    def _count(self, more: int) -> int:
        """Count accepted events. Returns how many they are by now."""
        self._accepted += more
        return self._accepted

    def _leave_direct(self) -> None:
        """From now on new events queue in the backlog. Blocks until the call of another thread has ended."""
        with self._lock:
            if self._route is Route.DIRECT:
                self._route = Route.DRAINING

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
    def is_interrupted(self) -> bool:
        """Whether this thread is in the middle of a call: a signal handler runs, and the call goes on after it."""
        return self._calling == get_ident()

    @property
    def newest_accepted(self) -> int:
        """The `seq` of the newest event that was accepted. Takes no lock, which an interrupted call may hold."""
        return self._last_seq

    def refuse_more(self, *, process_ends: bool = False) -> None:
        """From now on `put` raises; what was accepted is still sent. If the process ends, calls do not return."""
        with self._lock:
            over = self._phase in _OVER
            if process_ends:
                self._phase = Phase.PROCESS_ENDED if over else Phase.PROCESS_ENDING
            elif self._phase is Phase.OPEN:
                self._phase = Phase.CLOSING

    def _close_intake(self) -> None:
        """Accept nothing more, and have calls that are under way end with an error."""
        # before the lock is waited for: a call that has it sees this at its end
        self._phase = Phase.PROCESS_ENDED if self._phase in _WITH_PROCESS else Phase.CLOSED
        self._leave_direct()

    def log_lost(self, events: Sequence[JobStatusEvent]) -> None:
        """Log the `events` that are lost because the process ends: no caller can be given them."""
        if events:
            log_lost(summary(events), self.last_error or "no answer")

    @property
    def last_error(self) -> str | None:
        """Why the last attempt to send failed."""
        return self._acks.last_error
