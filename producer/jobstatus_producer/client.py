"""The class that a worker uses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

from jobstatus_schemas import JobStatusEvent
from jobstatus_schemas.event import (
    check_attempt,
    check_event_id,
    check_job_id,
    check_status,
    check_worker_id,
    clean_error_message,
)

from jobstatus_producer import process
from jobstatus_producer.delivery import (
    ENDS_WITHIN_SECONDS,
    AckWaiter,
    Outbox,
    Sender,
    Stats,
    aput_within,
    put_within,
    wait_until_settled,
)
from jobstatus_producer.errors import (
    BufferFullError,
    NotAcknowledgedError,
    ProducerClosedError,
    ProducerError,
    RefusedError,
    UndeliveredError,
)
from jobstatus_producer.record import CheckedUpdate, Record, new_event_id
from jobstatus_producer.settings import ProducerSettings
from jobstatus_producer.traceparent import TRACEPARENT, valid
from jobstatus_producer.tracking import STATUSES, Decorator, Statuses, Track, check_statuses, tracked

STOP_SECONDS: Final = 2.0
"""How long `close` waits for the sender's thread, and then for the Kafka client's callbacks."""
_FIELDS: Final = frozenset({"job_id", "status", "error_message", "attempt", "worker_id"})

JobId = str | int | UUID
Update = JobStatusEvent | Mapping[str, Any] | Sequence[Any]
"""One update of `update_many`: `(job_id, status[, error_message])`; a mapping, whose keys are named like the parameters
of `update_job_status`; or an event that an error carried, which keeps its event id."""


class JobStatusProducer:
    """Reports what happens to jobs. Thread-safe. A process needs one; it also works in a forked child.

    A call checks its arguments, hands the event over and returns. A background thread delivers for as long as the
    process lives. An accepted event is delivered, spooled, or named in an error or in the log.
    """

    def __init__(self, settings: ProducerSettings) -> None:
        """Open the spool folder and start the background thread; connecting to the broker does not block.

        Raises:
            SettingsError: librdkafka does not accept one of its properties.
            SpoolError: the spool folder cannot be used.
            ProducerError: no thread can be started.
            ProducerClosedError: the process is at its end.
        """
        self.settings = settings
        self._statuses = settings.statuses
        self._worker_id = settings.worker_id
        self._traceparent = valid(settings.traceparent)
        # reentrant, because a signal handler that closes may interrupt a thread that holds them
        self._start_lock = threading.RLock()
        self._closing = threading.RLock()
        self._closed = False
        self._undelivered: list[JobStatusEvent] = []
        self._outbox: Outbox | None = None
        self._sender: Sender | None = None
        self._start()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """A producer with the settings in `environ`; the process's environment by default.

        `JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS` alone is enough. Raises as the constructor does; `SettingsError` names the
        variable and what is allowed.
        """
        return cls(ProducerSettings.from_env(environ))

    def update_job_status(
        self,
        job_id: JobId,
        status: str,
        error_message: object = None,
        *,
        attempt: int | None = None,
        worker_id: str | None = None,
        wait: bool = False,
    ) -> None:
        """Report that `job_id` is now `status`.

        Returns when the event is accepted; with `wait`, when the broker has acknowledged it. Blocks on the spool file
        if the event goes there; for up to `max_block_seconds` if there is no room; and, with `wait`, for up to
        `wait_seconds` more.

        Raises:
            TypeError, ValueError: an argument is wrong. The text begins with its name, and nothing was queued. An
                error message is never wrong: it is cut and escaped.
            BufferFullError: there was no room within `max_block_seconds`; the error carries the event.
            NotAcknowledgedError: with `wait`, no acknowledgement within `wait_seconds`; the event is still tried.
            RefusedError: with `wait`, the broker refuses this event for good.
            ProducerClosedError: the producer is closed.
        """
        update = self._checked(job_id, status, error_message, attempt, worker_id)
        outbox = self._outbox or self._start()
        if wait:
            self._put_and_wait(outbox, (update,))
        elif not outbox.put((update,)):
            self._put_blocking(outbox, (update,))

    def update_many(self, updates: Iterable[Update], *, wait: bool = False) -> int:
        """Report several updates in their order, all of them or none. Returns how many they are.

        Blocks and raises as `update_job_status` does. All are checked first; the text about a wrong argument begins
        with its place, such as `updates[2]`.
        """
        checked = [self._checked_at(place, update) for place, update in enumerate(updates)]
        if not checked:
            return 0
        outbox = self._outbox or self._start()
        if wait:
            self._put_and_wait(outbox, checked)
        elif not outbox.put(checked):
            self._put_blocking(outbox, checked)
        return len(checked)

    async def aupdate_job_status(
        self,
        job_id: JobId,
        status: str,
        error_message: object = None,
        *,
        attempt: int | None = None,
        worker_id: str | None = None,
        wait: bool = False,
    ) -> None:
        """`update_job_status` that never blocks the event loop. Raises the same errors.

        If the task is cancelled while it waits, the event may have been accepted.
        """
        await self._aput((self._checked(job_id, status, error_message, attempt, worker_id),), wait=wait)

    async def aupdate_many(self, updates: Iterable[Update], *, wait: bool = False) -> int:
        """`update_many` that never blocks the event loop. Raises the same errors."""
        checked = [self._checked_at(place, update) for place, update in enumerate(updates)]
        if checked:
            await self._aput(checked, wait=wait)
        return len(checked)

    async def aflush(self, timeout: float | None = None) -> int:
        """`flush` that never blocks the event loop."""
        return await asyncio.to_thread(self.flush, timeout)

    async def aclose(self, timeout: float | None = None) -> None:
        """`close` that never blocks the event loop."""
        await asyncio.to_thread(self.close, timeout)

    def track(self, job_id: JobId, *, attempt: int | None = None, statuses: Statuses = STATUSES) -> Track:
        """For `with jobs.track("job-17"): ...`: reports processing, then success, or error with the exception's text.

        Raises `TypeError` or `ValueError` here, before the job begins, if an argument is wrong.
        """
        checked = check_job_id(job_id)
        check_statuses(statuses, self._statuses)
        return Track(partial(self.update_job_status, checked, attempt=attempt), statuses)

    def tracked(
        self, job_id: str = "job_id", *, attempt: int | str | None = None, statuses: Statuses = STATUSES
    ) -> Decorator:
        """A decorator that tracks each call of a function, as `track` does.

        `job_id` is the name of the argument that holds the job's id. `attempt` is the name of the argument that holds
        the attempt, or one number for all calls. Raises `TypeError` or `ValueError` if a status is wrong.
        """
        check_statuses(statuses, self._statuses)
        return tracked(partial(self.track, statuses=statuses), job_id, attempt)

    def flush(self, timeout: float | None = None) -> int:
        """Block until the events accepted before this call are acknowledged, for up to `timeout` seconds.

        The default is `close_seconds`. Returns how many events are not acknowledged. Raises `RefusedError` with the
        events that the broker refused since the last flush.
        """
        if self._outbox is None:
            return 0
        left = wait_until_settled(self._outbox, self.settings.close_seconds if timeout is None else timeout)
        _raise_refused(self._outbox)
        return left

    def close(self, timeout: float | None = None) -> None:
        """Deliver what is left, for up to `timeout` seconds, and end. The default is `close_seconds`.

        With a spool, what is not delivered by then stays in the spool. A second call does nothing.

        Raises:
            UndeliveredError: some events are neither delivered nor spooled; the error carries them.
            RefusedError: the broker refused some events; the error carries them.
        """
        with self._closing:
            with self._start_lock:
                self._closed = True
                outbox, sender = self._outbox, self._sender
            if outbox is not None and sender is not None:
                self._end(outbox, sender, self.settings.close_seconds if timeout is None else timeout)
            # not earlier: a signal that comes during the flush waits for its end, and so has to be told to `sender`
            process.unregister(self)
            if outbox is not None and sender is not None and (then := sender.take_over_finish()):
                outbox.log_lost(self._undelivered)
                then()
            if self._undelivered:
                undelivered, self._undelivered = self._undelivered, []
                why = (outbox and outbox.last_error) or "no answer"
                raise UndeliveredError(f"not delivered before the producer was closed ({why})", undelivered)
            if outbox is not None:
                _raise_refused(outbox)

    def _end(self, outbox: Outbox, sender: Sender, seconds: float) -> None:
        outbox.refuse_more()
        try:
            # with a spool there is no use in waiting while the broker is unreachable: the rest is spooled
            wait_until_settled(outbox, seconds, unless_blocked=outbox.has_spool)
        finally:
            # also if a signal handler raises: what is left is spooled, or the next `close` raises it
            sender.stop(STOP_SECONDS)
            # all that is undelivered, also what an earlier, interrupted `close` has found
            self._undelivered = outbox.give_up(STOP_SECONDS)
            self._sender = None

    def stats(self) -> Stats:
        """The numbers of this moment. All are 0 in a forked child that has not reported yet."""
        return Stats() if self._outbox is None else self._outbox.stats()

    @property
    def end_seconds(self) -> float:
        """How long the end by `at_termination` may take."""
        return self.settings.close_seconds + ENDS_WITHIN_SECONDS

    @property
    def is_interrupted(self) -> bool:
        """Whether a signal handler runs in the middle of a call of this thread."""
        return self._outbox is not None and self._outbox.is_interrupted

    def at_exit(self, seconds: float | None = None) -> None:
        """Called at the end of the process: `close`, for up to `seconds`, or `close_seconds` by default.

        What is lost is logged, too: an application that logs to a file or in JSON has no other trace of it.
        """
        outbox = self._outbox
        try:
            self.close(seconds)
        except UndeliveredError as error:
            if outbox is not None:
                outbox.log_lost(error.events)
            raise

    def at_termination(self, then: Callable[[], None] | None) -> None:
        """Called on SIGTERM, in a signal handler: flush in the background, for up to `close_seconds`.

        With `then`, the producer ends after that and calls it from another thread. Never blocks.
        """
        sender = self._sender
        if sender is not None:
            sender.finish(self.settings.close_seconds, then)
        elif then is not None:
            then()

    def after_fork(self) -> None:
        """Called in a forked child: start anew at the first call. The parent delivers what was accepted before."""
        outbox, self._outbox, self._sender = self._outbox, None, None
        self._start_lock, self._closing = threading.RLock(), threading.RLock()
        if outbox is not None:
            outbox.after_fork()
            process.abandon(outbox)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _start(self) -> Outbox:
        with self._start_lock:
            if self._closed:
                raise ProducerClosedError("the producer is closed; nothing was queued")
            if self._outbox is None:
                process.check_not_over()
                outbox = Outbox(self.settings)
                if self._overtaken(None):
                    # a signal handler has closed, or has reported, in the meantime
                    outbox.give_up(0)
                    return self._start()
                sender = _sender_of(outbox)
                self._outbox, self._sender = outbox, sender
                process.register(self)
                if self._overtaken(outbox):
                    # a signal handler has closed when there was nothing to end yet
                    self._end(outbox, sender, 0)
                    return self._start()
            return self._outbox

    def _overtaken(self, found: Outbox | None) -> bool:
        """Whether a signal handler has changed this producer since it had the outbox `found`."""
        return self._closed or self._outbox is not found

    def _checked(
        self, job_id: JobId, status: str, message: object, attempt: object, worker_id: object
    ) -> CheckedUpdate:
        return CheckedUpdate(
            check_job_id(job_id),
            check_status(status, self._statuses),
            clean_error_message(message),
            check_attempt(attempt),
            self._worker_id if worker_id is None else check_worker_id(worker_id),
            valid(TRACEPARENT.get()) or self._traceparent,
            new_event_id(),
        )

    def _checked_at(self, place: int, update: Update) -> CheckedUpdate:
        try:
            fields = _fields(update)
            message, attempt, worker_id = (fields.get(name) for name in ("error_message", "attempt", "worker_id"))
            checked = self._checked(fields["job_id"], fields["status"], message, attempt, worker_id)
            return checked._replace(event_id=check_event_id(fields["event_id"])) if "event_id" in fields else checked
        except (TypeError, ValueError) as error:
            raise type(error)(f"updates[{place}]: {error}") from None

    def _put_blocking(self, outbox: Outbox, updates: Sequence[CheckedUpdate], waiter: AckWaiter | None = None) -> None:
        seconds = outbox.block_seconds
        if not put_within(outbox, updates, seconds, waiter):
            raise _no_room(outbox, updates, seconds)

    def _put_and_wait(self, outbox: Outbox, updates: Sequence[CheckedUpdate]) -> None:
        waiter = AckWaiter(len(updates))
        self._put_blocking(outbox, updates, waiter)
        outbox.wake()
        waiter.wait(self.settings.wait_seconds)
        self._raise_unless_acknowledged(outbox, waiter, outbox.stop_waiting(waiter))

    async def _aput(self, updates: Sequence[CheckedUpdate], *, wait: bool) -> None:
        outbox = self._outbox
        if outbox is None:
            # in a thread, because a forked child has to open everything anew
            outbox = await asyncio.to_thread(self._start)
        done = asyncio.get_running_loop().create_future()
        waiter = AckWaiter(len(updates), partial(_end_from_thread, done)) if wait else None
        seconds = outbox.block_seconds
        if not await aput_within(outbox, updates, seconds, waiter):
            raise _no_room(outbox, updates, seconds)
        if waiter is not None:
            outbox.wake()
            try:
                await asyncio.wait((done,), timeout=self.settings.wait_seconds)
            finally:
                left = outbox.stop_waiting(waiter)
            self._raise_unless_acknowledged(outbox, waiter, left)

    def _raise_unless_acknowledged(self, outbox: Outbox, waiter: AckWaiter, left: Sequence[Record]) -> None:
        if waiter.refused:
            why = waiter.refused[0][1].text
            raise RefusedError(f"the broker refuses ({why})", outbox.events_of(record for record, _ in waiter.refused))
        if left:
            why = outbox.last_error or "no answer"
            where = f"within {self.settings.wait_seconds:g} s in topic {self.settings.topic!r}"
            text = f"not acknowledged {where} ({why}), still being tried"
            raise NotAcknowledgedError(text, outbox.events_of(left))


def _sender_of(outbox: Outbox) -> Sender:
    try:
        return Sender(outbox)
    except RuntimeError as error:
        # there are too many threads; or the interpreter ends, and it is Python 3.12 or newer
        outbox.give_up(0)
        raise ProducerError(f"a producer needs a thread of its own ({error}); nothing was queued") from None


def _no_room(outbox: Outbox, updates: Sequence[CheckedUpdate], seconds: float) -> BufferFullError:
    why = f"no room within {seconds:g} s ({outbox.last_error or 'too many at once'})"
    return BufferFullError(f"not accepted, {why}", outbox.as_events(updates))


def _end_from_thread(done: asyncio.Future[None]) -> None:
    loop = done.get_loop()
    # a loop that was closed runs nothing any more
    if not loop.is_closed():
        loop.call_soon_threadsafe(_end, done)


def _end(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _raise_refused(outbox: Outbox) -> None:
    refused = outbox.take_refused()
    if refused:
        raise RefusedError(f"refused by the broker ({outbox.last_error})", refused)


def _fields(update: Update) -> Mapping[str, Any]:
    if isinstance(update, JobStatusEvent):
        return update._asdict()
    if isinstance(update, Mapping):
        if not {"job_id", "status"} <= set(update) <= _FIELDS:
            got = ", ".join(map(repr, update)) or "nothing"
            raise TypeError(f"wanted job_id and status, and of {', '.join(sorted(_FIELDS))} only; got {got}")
        return update
    if isinstance(update, tuple | list) and 2 <= len(update) <= 3:
        return dict(zip(("job_id", "status", "error_message"), update, strict=False))
    raise TypeError("wanted (job_id, status[, error_message]), a mapping, or an event")
