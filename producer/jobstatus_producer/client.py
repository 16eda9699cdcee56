"""The one class a worker uses."""

from __future__ import annotations

import asyncio
import threading
import time
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
from jobstatus_producer.delivery.acks import Stats, Waiting
from jobstatus_producer.delivery.outbox import ROOM_STEP_SECONDS, Outbox, Report, new_event_id, stamped
from jobstatus_producer.delivery.sender import Worker
from jobstatus_producer.errors import (
    BufferFullError,
    NotAcknowledgedError,
    ProducerClosedError,
    ProducerError,
    RefusedError,
    UndeliveredError,
)
from jobstatus_producer.record import Record
from jobstatus_producer.settings import ProducerSettings
from jobstatus_producer.traceparent import TRACEPARENT, valid
from jobstatus_producer.tracking import STATUSES, Decorator, Statuses, Track, check_statuses, tracked

STOP_SECONDS: Final = 2.0
_FIELDS: Final = frozenset({"job_id", "status", "error_message", "attempt", "worker_id"})

JobId = str | int | UUID
Update = JobStatusEvent | Mapping[str, Any] | Sequence[Any]
"""One update of `update_many`: `(job_id, status[, error_message])`, a mapping with the names of `update_job_status`'s
parameters, or an event out of an error, which keeps its event id."""


class JobStatusProducer:
    """Reports what happens to jobs. Thread-safe; one for each process; works in a forked child, too.

    A call checks its arguments, hands the event over and returns; delivery goes on in the background for as long as
    the process lives. Nothing that was accepted is dropped in silence.
    """

    def __init__(self, settings: ProducerSettings) -> None:
        self.settings = settings
        self._statuses = settings.statuses
        self._worker_id = settings.worker_id
        self._traceparent = valid(settings.traceparent)
        # a signal's handler that closes may have interrupted this very thread
        self._start_lock = threading.RLock()
        self._closing = threading.RLock()
        self._closed = False
        self._undelivered: list[JobStatusEvent] = []
        self._outbox: Outbox | None = None
        self._worker: Worker | None = None
        self._start()
        process.register(self)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """A producer as the environment says; `JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS` alone is enough.

        Raises `SettingsError` with the name of what is wrong and what is allowed.
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

        Raises:
            TypeError, ValueError: an argument is not what the event allows; its name is in the text, and nothing was
                queued. An error message is never refused: it is cut and escaped.
            BufferFullError: no room within `max_block_seconds`; the error carries the event.
            NotAcknowledgedError: with `wait`, the broker has not acknowledged within `wait_seconds`; still tried.
            RefusedError: with `wait`, the broker refuses this event for good.
            ProducerClosedError: after `close`.
        """
        report = self._checked(job_id, status, error_message, attempt, worker_id)
        outbox = self._outbox or self._start()
        if wait:
            self._put_and_wait(outbox, (report,))
        elif not outbox.put((report,)):
            self._put_blocking(outbox, (report,))

    def update_many(self, updates: Iterable[Update], *, wait: bool = False) -> int:
        """Report several updates, in their order: all are checked first, all are accepted or none. Returns how many.

        Raises as `update_job_status`; a wrong argument's text begins with its place, such as `updates[2]`.
        """
        reports = [self._report(place, update) for place, update in enumerate(updates)]
        if not reports:
            return 0
        outbox = self._outbox or self._start()
        if wait:
            self._put_and_wait(outbox, reports)
        elif not outbox.put(reports):
            self._put_blocking(outbox, reports)
        return len(reports)

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
        """`update_job_status` that never blocks the event loop. Raises the same.

        A call that is cancelled while a thread does its work may be accepted all the same.
        """
        await self._aput((self._checked(job_id, status, error_message, attempt, worker_id),), wait=wait)

    async def aupdate_many(self, updates: Iterable[Update], *, wait: bool = False) -> int:
        """`update_many` that never blocks the event loop. Raises the same."""
        reports = [self._report(place, update) for place, update in enumerate(updates)]
        if reports:
            await self._aput(reports, wait=wait)
        return len(reports)

    async def aflush(self, timeout: float | None = None) -> int:
        """`flush` that does not block the event loop."""
        return await asyncio.to_thread(self.flush, timeout)

    async def aclose(self, timeout: float | None = None) -> None:
        """`close` that does not block the event loop."""
        await asyncio.to_thread(self.close, timeout)

    def track(self, job_id: JobId, *, attempt: int | None = None, statuses: Statuses = STATUSES) -> Track:
        """`with jobs.track("job-17"): ...` reports processing, and then success, or error with the exception's text."""
        checked = check_job_id(job_id)
        check_statuses(statuses, self._statuses)
        return Track(partial(self.update_job_status, checked, attempt=attempt), statuses)

    def tracked(
        self, job_id: str = "job_id", *, attempt: int | str | None = None, statuses: Statuses = STATUSES
    ) -> Decorator:
        """A decorator: `track` around each call, for the job that the argument called `job_id` names.

        `attempt` is one for all calls, or the name of the argument that has it.
        """
        check_statuses(statuses, self._statuses)
        return tracked(partial(self.track, statuses=statuses), job_id, attempt)

    def flush(self, timeout: float | None = None) -> int:
        """Wait until what was accepted before this call is acknowledged; returns how many events are not, at `timeout`.

        Without a `timeout`, up to `close_seconds`. Raises `RefusedError` with events that the broker refused.
        """
        if self._outbox is None:
            return 0
        left = self._outbox.wait_until_settled(self.settings.close_seconds if timeout is None else timeout)
        _raise_refused(self._outbox)
        return left

    def close(self, timeout: float | None = None) -> None:
        """Deliver what is left within `timeout` (or `close_seconds`) and end; a second call does nothing.

        Raises:
            UndeliveredError: with the events that were neither delivered nor spooled.
            RefusedError: with the events that the broker refused.
        """
        with self._closing:
            with self._start_lock:
                self._closed = True
                outbox, worker = self._outbox, self._worker
            if outbox is not None and worker is not None:
                self._end(outbox, worker, self.settings.close_seconds if timeout is None else timeout)
            # told of a signal until here: one that came during the flush has waited for its end
            process.unregister(self)
            if outbox is not None and worker is not None and (then := worker.end_asked_for()):
                outbox.tell_lost(self._undelivered)
                then()
            if self._undelivered:
                undelivered, self._undelivered = self._undelivered, []
                why = (outbox and outbox.ledger.last_error) or "no answer"
                raise UndeliveredError(f"not delivered before the producer was closed ({why})", undelivered)
            if outbox is not None:
                _raise_refused(outbox)

    def _end(self, outbox: Outbox, worker: Worker, seconds: float) -> None:
        outbox.refuse_more()
        try:
            outbox.wait_until_settled(seconds, unless_failing=outbox.backlog.has_spool)
        finally:
            # also where a signal's handler raised: what is left is spooled, or raised by the next `close`
            worker.stop(STOP_SECONDS)
            # all of it again, where an earlier try was interrupted
            self._undelivered = outbox.give_up(STOP_SECONDS)
            self._worker = None

    def stats(self) -> Stats:
        """This moment, in numbers; all 0 in a forked child that has not reported yet."""
        return Stats() if self._outbox is None else self._outbox.stats()

    def at_exit(self, seconds: float | None = None) -> None:
        """The process ends: `close`, bounded by `close_seconds` or `seconds`."""
        self.close(seconds)

    def at_termination(self, then: Callable[[], None] | None) -> None:
        """SIGTERM: the worker thread flushes, up to `close_seconds`, and then ends and calls `then`, if given."""
        worker = self._worker
        if worker is not None:
            worker.finish(self.settings.close_seconds, then)
        elif then is not None:
            then()

    def after_fork(self) -> None:
        """In a forked child: begin anew at the first call; what was under way is the parent's to deliver."""
        outbox, self._outbox, self._worker = self._outbox, None, None
        self._start_lock, self._closing = threading.RLock(), threading.RLock()
        if outbox is not None:
            outbox.backlog.after_fork()
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
                    # a signal's handler has closed, or has reported, in the meantime
                    outbox.give_up(0)
                    return self._start()
                worker = _worker_of(outbox)
                self._outbox, self._worker = outbox, worker
                process.started_here()
                if self._overtaken(outbox):
                    # it did so when there was nothing yet to be ended
                    self._end(outbox, worker, 0)
                    return self._start()
            return self._outbox

    def _overtaken(self, found: Outbox | None) -> bool:
        """Whether a signal's handler has changed this producer since it was found so."""
        return self._closed or self._outbox is not found

    def _checked(self, job_id: JobId, status: str, message: object, attempt: object, worker_id: object) -> Report:
        return Report(
            check_job_id(job_id),
            check_status(status, self._statuses),
            clean_error_message(message),
            check_attempt(attempt),
            self._worker_id if worker_id is None else check_worker_id(worker_id),
            valid(TRACEPARENT.get()) or self._traceparent,
            new_event_id(),
        )

    def _report(self, place: int, update: Update) -> Report:
        try:
            fields = _fields(update)
            message, attempt, worker_id = (fields.get(name) for name in ("error_message", "attempt", "worker_id"))
            report = self._checked(fields["job_id"], fields["status"], message, attempt, worker_id)
            return report._replace(event_id=check_event_id(fields["event_id"])) if "event_id" in fields else report
        except (TypeError, ValueError) as error:
            raise type(error)(f"updates[{place}]: {error}") from None

    def _put_blocking(self, outbox: Outbox, reports: Sequence[Report], waiting: Waiting | None = None) -> None:
        seconds = outbox.block_seconds
        if not outbox.put_within(reports, seconds, waiting):
            raise _no_room(outbox, reports, seconds)

    async def _aput(self, reports: Sequence[Report], *, wait: bool) -> None:
        outbox = self._outbox
        if outbox is None:
            # a forked child begins anew, which takes a while
            outbox = await asyncio.to_thread(self._start)
        waiting = None
        done = asyncio.get_running_loop().create_future()
        if wait:
            waiting = Waiting(len(reports), partial(_end_from_thread, done))
        await self._aput_within(outbox, reports, waiting)
        if waiting is not None:
            outbox.wakeups.put("awaited")
            try:
                await asyncio.wait((done,), timeout=self.settings.wait_seconds)
            finally:
                left = outbox.ledger.forget(waiting)
            self._raise_unless_acknowledged(outbox, waiting, left)

    async def _aput_within(self, outbox: Outbox, reports: Sequence[Report], waiting: Waiting | None) -> None:
        seconds = outbox.block_seconds
        deadline = time.monotonic() + seconds
        while not outbox.put(reports, waiting, directly=True):
            # the spool is a file, and so nothing for the loop's own thread; nor is to wait for who is at it
            if await asyncio.to_thread(outbox.put, reports, waiting):
                return
            if time.monotonic() >= deadline:
                outbox.rejected += len(reports)
                raise _no_room(outbox, reports, seconds)
            outbox.wakeups.put("room wanted")
            await asyncio.sleep(ROOM_STEP_SECONDS)

    def _put_and_wait(self, outbox: Outbox, reports: Sequence[Report]) -> None:
        waiting = Waiting(len(reports))
        self._put_blocking(outbox, reports, waiting)
        outbox.wakeups.put("awaited")
        waiting.wait(self.settings.wait_seconds)
        self._raise_unless_acknowledged(outbox, waiting, outbox.ledger.forget(waiting))

    def _raise_unless_acknowledged(self, outbox: Outbox, waiting: Waiting, left: Sequence[Record]) -> None:
        if waiting.refused:
            raise RefusedError(
                f"the broker refuses ({waiting.refused[0][1].text})", [e.event for e, _ in waiting.refused]
            )
        if left:
            why = outbox.ledger.last_error or "no answer"
            where = f"within {self.settings.wait_seconds:g} s in topic {self.settings.topic!r}"
            text = f"not acknowledged {where} ({why}), still being tried"
            raise NotAcknowledgedError(text, [entry.event for entry in left])


def _worker_of(outbox: Outbox) -> Worker:
    try:
        return Worker(outbox)
    except RuntimeError as error:
        # there are too many threads; or the interpreter ends, and it is 3.12 or newer
        outbox.give_up(0)
        raise ProducerError(f"a producer needs a thread of its own ({error}); nothing was queued") from None


def _no_room(outbox: Outbox, reports: Sequence[Report], seconds: float) -> BufferFullError:
    why = f"no room within {seconds:g} s ({outbox.ledger.last_error or 'too many at once'})"
    return BufferFullError(f"not accepted, {why}", [stamped(report).event for report in reports])


def _end_from_thread(done: asyncio.Future[None]) -> None:
    loop = done.get_loop()
    # a loop that was closed has nobody left to tell
    if not loop.is_closed():
        loop.call_soon_threadsafe(_end, done)


def _end(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _raise_refused(outbox: Outbox) -> None:
    refused = outbox.ledger.take_refused()
    if refused:
        raise RefusedError(f"refused by the broker ({outbox.ledger.last_error})", refused)


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
