"""The writer thread: the one that waits, so that the thread that polls Kafka never does.

One task at a time. For a batch, in this order: the database, then its dead letters acknowledged, then the result:
only from that may offsets be committed. On a new connection nothing is written before the database has been asked
what it knows of the batch's logs: it may have forgotten something (design.md, "a database that forgets").
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from jobstatus_consumer.core.dead_letters import Budget, DeadLetter, dead_letter
from jobstatus_consumer.errors import (
    ConnectionStaleError,
    DatabaseAwayError,
    DeadLetterError,
    DeploymentError,
    StopRequestedError,
)
from jobstatus_consumer.records import Batch, Rejected, Written
from jobstatus_consumer.retry import retry
from jobstatus_consumer.telemetry.throttle import Throttle

logger = logging.getLogger("jobstatus.writer")

SAY_AGAIN_SECONDS = 30.0
ANSWER_WITHIN = 15.0
"""Over the server's own statement_timeout: a server that is there has answered by then."""

T = TypeVar("T")


class StorePort(Protocol):
    """What the writer needs of the database; `jobstatus_consumer.store.Store` is one."""

    @property
    def connected(self) -> bool:
        """False before `connect` and after the connection broke."""

    def connect(self) -> None:
        """A fresh connection, prepared from scratch."""

    def topic_progress(self, topic: str) -> Mapping[str, int]:
        """The next offset of each log of the topic that the database knows of."""

    def write(self, batch: Batch) -> Written:
        """Write the batch, isolating bad rows."""

    @property
    def statement_age(self) -> float:
        """Seconds since the statement that is running was sent; 0 where none is."""

    def cut(self) -> None:
        """From another thread: end the connection under a statement that gets no answer."""

    def close(self) -> None:
        """End the connection."""


class SenderPort(Protocol):
    """What the writer needs of the dead letters' topic."""

    def send(self, letters: list[DeadLetter]) -> None:
        """Return when all are acknowledged."""


@dataclass(frozen=True, slots=True)
class ReadProgress:
    """Task: what does the database know of the topic, and so of these logs?"""

    topic: str
    log_ids: Collection[str]


@dataclass(frozen=True, slots=True)
class ProgressRead:
    """Result of `Compare`: the next offset of each log of the topic that the database knows, old ones too."""

    next_offsets: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Done:
    """Result of a batch: written, and its dead letters acknowledged."""

    batch: Batch
    written: Written
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Unverified:
    """Result of a batch that was not written: the connection is new, so compare first, then hand it in again."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Stopped:
    """Result of a task that a stop request ended: nothing of it may be committed."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Result of a task that cannot be done: stop, commit nothing."""

    error: BaseException


Task = Batch | ReadProgress
Result = ProgressRead | Done | Unverified | Stopped | Failed


@dataclass(frozen=True, slots=True)
class Waiting:
    """The named state in which the writer waits: since when (`time.time`), for what, and when it tries again."""

    since: float
    reason: str
    next_try: float


class Writer:
    """Owns the database's connection and the dead letters; `submit` a task, take its `result`."""

    def __init__(self, store: StorePort, sender: SenderPort, budget: Budget, group: str) -> None:
        self._store = store
        self._sender = sender
        self._budget = budget
        self._group = group
        self._inbox: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._verified: set[str] = set()
        # since the last batch that was written a connection has been stale
        self._stale = False
        self._stop_waiting = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobstatus-writer", daemon=True)
        self._throttle = Throttle(SAY_AGAIN_SECONDS)
        self.waiting: Waiting | None = None
        self.busy = False
        self.connections = 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """False once the thread has ended, for whatever reason."""
        return self._thread.is_alive()

    def submit(self, task: Task) -> None:
        """Hand in the next task; the result of the one before must have been taken."""
        if self.busy:
            raise RuntimeError("the writer has a task; take its result first")
        self.busy = True
        self._inbox.put(task)

    def result(self, timeout: float) -> Result | None:
        """The result of the task, or None after `timeout` seconds. A thread that died is a `Failed` result."""
        try:
            found = self._outbox.get(timeout=timeout) if timeout > 0 else self._outbox.get_nowait()
        except queue.Empty:
            if self.busy and not self.alive and self._outbox.empty():
                return Failed(RuntimeError("the writer thread died without a result"))
            return None
        self.busy = False
        return found

    def stop_waiting(self) -> None:
        """End any wait at once: what cannot be written now is not written by this process."""
        self._stop_waiting.set()

    def cut_if_overdue(self) -> None:
        """Called now and then by the loop: a server that cannot even say "timeout" any more is cut off.

        Packets may vanish behind a proxy that goes on acknowledging them; no time-out of TCP sees that.
        """
        age = self._store.statement_age
        if age > ANSWER_WITHIN:
            logger.warning("the database has not answered a statement for %.0f s; cutting the connection", age)
            self._store.cut()

    def close(self, timeout: float) -> None:
        """End the thread and the connection; a statement that runs longer than `timeout` is left to the server."""
        self._stop_waiting.set()
        self._inbox.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            while (task := self._inbox.get()) is not None:
                self._outbox.put(self._do(task))
        finally:
            self._store.close()

    def _do(self, task: Task) -> Result:
        try:
            return self._compare(task) if isinstance(task, ReadProgress) else self._write(task)
        except StopRequestedError:
            return Stopped()
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop must hear of it and stop
            return Failed(error)

    def _compare(self, task: ReadProgress) -> ProgressRead:
        def ask() -> ProgressRead:
            self._connect()
            known = self._store.topic_progress(task.topic)
            self._verified.update(task.log_ids)
            return ProgressRead(known)

        return self._patiently(ask)

    def _write(self, batch: Batch) -> Done | Unverified:
        # 4. the database
        written = self._patiently(lambda: self._write_if_verified(batch))
        if written is None:
            return Unverified(batch)
        # 5. the dead letters, acknowledged
        rejected = [*batch.rejected, *written.rejected]
        if rejected:
            self._send(rejected)
        self._budget.charge(batch.records - len(rejected), len(rejected))
        # 6. the result, from which alone the loop commits
        return Done(batch, written, len(rejected))

    def _write_if_verified(self, batch: Batch) -> Written | None:
        self._connect()
        if not self._verified.issuperset(span.log_id for span in batch.spans):
            return None
        written = self._store.write(batch)
        self._stale = False
        return written

    def _connect(self) -> None:
        if not self._store.connected:
            self._verified.clear()
            self._store.connect()
            self.connections += 1

    def _send(self, rejected: list[Rejected]) -> None:
        letters = [dead_letter(item, self._group, time.time()) for item in rejected]
        retry(
            lambda: self._sender.send(letters),
            retry_on=lambda error: isinstance(error, DeadLetterError) and error.retriable,
            stop=self._stop_waiting,
            observe=self._waits("dead letters' topic"),
        )
        self._goes_on("dead letters' topic")

    def _patiently(self, action: Callable[[], T]) -> T:
        found = retry(
            lambda: self._once_more_if_stale(action),
            retry_on=DatabaseAwayError,
            stop=self._stop_waiting,
            observe=self._waits("database"),
        )
        self._goes_on("database")
        return found

    def _once_more_if_stale(self, action: Callable[[], T]) -> T:
        """Connect anew where the connection is stale, but not for ever: until a batch was written, one more is enough.

        A write is not tried again in here, since nothing is written on a new connection before a comparison.
        """
        while True:
            try:
                return action()
            except ConnectionStaleError as error:
                self._store.close()
                if self._stale:
                    raise DeploymentError(f"{error} (again, on a new connection)", sqlstate=error.sqlstate) from error
                logger.warning("the database connection is stale (SQLSTATE %s); connecting anew", error.sqlstate)
                self._stale = True

    def _waits(self, whom: str) -> Callable[[BaseException, float, int], None]:
        def observe(error: BaseException, upcoming: float, tries: int) -> None:
            now = time.time()
            since = self.waiting.since if self.waiting else now
            self.waiting = Waiting(since, f"{whom}: {error}", now + upcoming)
            if tries == 1:
                self._throttle.reset()
            if self._throttle.allows():
                began = time.strftime("%H:%M:%S", time.localtime(since))
                logger.warning(
                    "waiting for the %s since %s (%.0f s): %s; next try (%d) in %.1f s; reading pauses",
                    whom,
                    began,
                    now - since,
                    error,
                    tries + 1,
                    upcoming,
                )

        return observe

    def _goes_on(self, whom: str) -> None:
        if self.waiting is not None:
            logger.info("the %s answers again after %.1f s; going on", whom, time.time() - self.waiting.since)
            self.waiting = None
