"""Who waits for which job, and the one thread that looks all of them up together.

The jobs that are due are looked up in one statement, so a thousand waiters cost the database one connection. A job is
looked up again after a twentieth of the time that its waiter has waited, from 50 ms to 1 s. Between two lookups the
thread rests for twenty times as long as the last one took, up to 1 s, so that it takes at most a twentieth of one
core of the server.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Final

from jobstatus_reader.errors import DatabaseUnavailableError, ReaderClosedError, ReaderError
from jobstatus_reader.job import STATUS, Job, Row

logger = logging.getLogger("jobstatus.reader")

SHORTEST: Final = 0.05
LONGEST: Final = 1.0
SHARE: Final = 20
"""A waiter that has waited for so many seconds gets its answer one second late at most, and never later than that."""

Look = Callable[[Iterable[str]], Mapping[str, Row]]
"""Returns by job the rows of these jobs."""


class Waiter:
    """One wait: `future` gets the job when its status is one of `until`. Times are those of the clock."""

    __slots__ = ("_row", "due", "future", "job_id", "looks", "since", "until")

    def __init__(self, job_id: str, until: frozenset[str], now: float) -> None:
        self.job_id = job_id
        self.until = until
        self.since = now
        self.due = now
        self.future: Future[Job] = Future()
        self._row: Row | None = None
        self.looks = 0

    @property
    def last(self) -> Job | None:
        """The job as the last lookup found it; None if there was no row of it, or no lookup."""
        return None if self._row is None else Job.of_row(self._row)

    def take(self, row: Row | None, now: float) -> None:
        """Note what a lookup found, and say when to look again."""
        # a job is made of the last row alone: most rows of a thousand waits are not what anybody waits for
        self._row = row
        self.looks += 1
        self.postpone(now)
        if row is not None and row[STATUS] in self.until:
            # the caller may have given up just now
            with suppress(InvalidStateError):
                self.future.set_result(Job.of_row(row))

    def fail(self, error: ReaderError) -> None:
        """End the wait with an error of its own, because each thread adds its traceback to it."""
        with suppress(InvalidStateError):
            self.future.set_exception(type(error)(str(error)))

    def postpone(self, now: float) -> None:
        """Say when to look again."""
        self.due = now + min(LONGEST, max(SHORTEST, (now - self.since) / SHARE))


class Waits:
    """All waits of one reader. The thread lives only while somebody waits."""

    def __init__(self, look: Look, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self.trouble = ""
        """Why the last lookup failed; empty if it did not."""
        self.answered = False
        """Whether the database has ever answered this reader."""
        self._closed = False
        self.forget()

    def forget(self) -> None:
        """After a fork, in the child: the waits and the thread are the parent's."""
        self._changed = threading.Condition()
        self._waiters: set[Waiter] = set()
        self._thread: threading.Thread | None = None
        self._rests_until = self._wakes_at = 0.0

    def add(self, job_id: str, until: frozenset[str]) -> Waiter:
        """Begin a wait. Never blocks for long. Raises `ReaderClosedError`."""
        with self._changed:
            if self._closed:
                raise ReaderClosedError("the reader is closed")
            waiter = Waiter(job_id, until, self._clock())
            self._waiters.add(waiter)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="jobstatus-reader", daemon=True)
                self._thread.start()
            elif max(self._rests_until, waiter.due) < self._wakes_at:
                self._changed.notify()
        return waiter

    def remove(self, waiter: Waiter) -> None:
        """End a wait, also one that has its answer."""
        with self._changed:
            self._waiters.discard(waiter)
            if not self._waiters:
                self._changed.notify()

    def close(self) -> None:
        """End every wait with `ReaderClosedError`, and the thread. May block until a lookup that runs has ended."""
        self._closed = True
        thread = self._thread
        self._end_all(ReaderClosedError("the reader was closed during the wait"))
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        try:
            while due := self._due():
                began = self._clock()
                self._answer(due)
                now = self._clock()
                self._rests_until = now + min(LONGEST, max(SHORTEST, SHARE * (now - began)))
        except BaseException as error:
            self._end_all(ReaderError(f"the thread that looks for all waits has ended: {type(error).__name__}"))
            self._thread = None
            raise

    def _end_all(self, error: ReaderError) -> None:
        with self._changed:
            waiters, self._waiters = self._waiters, set()
            self._changed.notify()
        for waiter in waiters:
            waiter.fail(error)

    def _due(self) -> list[Waiter]:
        """Wait until jobs are to be looked up, and return their waiters; none once nobody waits any more."""
        with self._changed:
            while self._waiters:
                now = self._clock()
                self._wakes_at = max(self._rests_until, min(waiter.due for waiter in self._waiters))
                if self._wakes_at <= now:
                    return [waiter for waiter in self._waiters if waiter.due <= now]
                self._changed.wait(self._wakes_at - now)
            self._thread = None
            return []

    def _answer(self, due: list[Waiter]) -> None:
        try:
            found = self._look({waiter.job_id for waiter in due})
        except ReaderError as error:
            self._note(str(error))
            passes = self.answered and isinstance(error, DatabaseUnavailableError)
            for waiter in due:
                if passes:
                    waiter.postpone(self._clock())
                else:
                    self._give_up(waiter, error)
            return
        self._note("")
        self.answered = True
        now = self._clock()
        for waiter in due:
            waiter.take(found.get(waiter.job_id), now)
            if waiter.future.done():
                self.remove(waiter)

    def _give_up(self, waiter: Waiter, error: ReaderError) -> None:
        waiter.fail(error)
        self.remove(waiter)

    def _note(self, trouble: str) -> None:
        if trouble and not self.trouble:
            logger.warning("waits for jobs get no news: %s", trouble)
        elif self.trouble and not trouble:
            logger.info("the database answers again; waits for jobs go on")
        self.trouble = trouble
