"""The writer thread. It may wait for the database without a limit; the thread that polls Kafka never does.

One task in, one result out:

    Batch         ->  BatchWritten    PostgreSQL has it, and its dead letters are acknowledged: commit its offsets
                      BatchReturned   the connection is new; here is the batch, with the progress that the database has
    ReadProgress  ->  ProgressRead    the progress that the database has
    either        ->  Failed          it cannot be done: stop, commit nothing
                      Stopped         a stop request ended it: commit nothing of it

Between two tasks, about once a second, it settles what waits for its row in a target, which writes no state.

Nothing is written on a connection before its progress was returned to the loop: the database may have forgotten
something (design.md, "a database that forgets").
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from jobstatus_consumer.core import Budget, DeadLetter, dead_letter
from jobstatus_consumer.errors import (
    ConnectionStaleError,
    DatabaseAwayError,
    DeadLetterError,
    DeploymentError,
    LockedError,
    StopRequestedError,
)
from jobstatus_consumer.records import Batch, Rejected, TopicProgress, Written
from jobstatus_consumer.retry import retry
from jobstatus_consumer.stream.dead_letter_lines import DeadLetterLines
from jobstatus_consumer.stream.outage import Outage, OutageLog
from jobstatus_consumer.stream.settling import Settling

logger = logging.getLogger("jobstatus.writer")

ANSWER_WITHIN: Final = 15.0
"""In seconds. It is longer than the server's own statement_timeout: a server that works has answered by then."""

DATABASE: Final = "database"
DEAD_LETTER_TOPIC: Final = "dead letters' topic"

T = TypeVar("T")


class StorePort(Protocol):
    """What the writer needs of the database; `jobstatus_consumer.store.Store` is one."""

    @property
    def connected(self) -> bool:
        """False before `connect` and after the connection broke."""

    def connect(self) -> None:
        """Open a new connection, prepared from scratch."""

    def topic_progress(self, topic: str) -> TopicProgress:
        """Return what the database has of each log of the topic."""

    def write(self, batch: Batch) -> Written:
        """Write the batch; rows that the database rejects are isolated."""

    @property
    def statement_age(self) -> float:
        """Seconds since the running statement was sent; 0 if none runs."""

    def cut(self) -> None:
        """Break the connection under a statement that gets no answer. May be called from another thread."""

    def close(self) -> None:
        """Close the connection."""


class SenderPort(Protocol):
    """What the writer needs of the dead letters' topic."""

    def send(self, letters: list[DeadLetter]) -> None:
        """Send the letters, and return when all are acknowledged."""


@dataclass(frozen=True, slots=True)
class ReadProgress:
    """Task: read the progress that the database has of the topic."""


@dataclass(frozen=True, slots=True)
class ProgressRead:
    """Result of `ReadProgress`: the next offset of each log of the topic that the database knows, old logs too.

    `epochs` are the leader epochs of the records before those offsets.
    """

    progress: Mapping[str, int]
    epochs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BatchWritten:
    """Result of a batch: it is written, and its dead letters are acknowledged."""

    batch: Batch
    written: Written
    dead_letters: int


@dataclass(frozen=True, slots=True)
class BatchReturned:
    """Result of a batch that was not written, because the connection is new: compare `progress`, submit it again."""

    batch: Batch
    progress: Mapping[str, int]
    epochs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stopped:
    """Result of a task that a stop request ended: commit nothing of it."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Result of a task that cannot be done: stop, commit nothing."""

    error: BaseException


Task = Batch | ReadProgress
Result = ProgressRead | BatchWritten | BatchReturned | Stopped | Failed


class Writer:
    """Owns the database connection and sends the dead letters. `submit` a task, then take its `result`."""

    def __init__(
        self,
        store: StorePort,
        sender: SenderPort,
        budget: Budget,
        group: str,
        topic: str,
        clock: Callable[[], float] = time.time,
        table: str = "",
        settling: Settling | None = None,
        count_connection: Callable[[], object] = lambda: None,
    ) -> None:
        self._store = store
        self._sender = sender
        self._budget = budget
        self._group = group
        self._topic = topic
        self._table = table
        self._count_connection = count_connection
        self.settling = settling
        """what waits for its row in the target; None without a target"""
        self._failed_settling: Failed | None = None
        self._lines = DeadLetterLines()
        self._clock = clock
        self._inbox: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[Result] = queue.SimpleQueue()
        # the loop has the progress that was read on this connection
        self._progress_returned = False
        # a connection was stale after the last batch that was written
        self._stale = False
        self._stop_waiting = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobstatus-writer", daemon=True)
        self._outages = OutageLog(logger, _kind, clock)
        self.busy = False

    # -- for the loop, none of which blocks longer than its time-out ------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def outage(self) -> Outage | None:
        """What the thread waits for."""
        return self._outages.outage

    @property
    def alive(self) -> bool:
        """False once the thread has ended, for any reason."""
        return self._thread.is_alive()

    def submit(self, task: Task) -> None:
        """Hand in the next task. The result of the previous one must have been taken."""
        if self.busy:
            raise RuntimeError("the writer has a task; take its result first")
        self.busy = True
        self._inbox.put(task)

    def result(self, timeout: float) -> Result | None:
        """Return the task's result, or None after `timeout` seconds. If the thread has died, that is `Failed`."""
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
        """Cut the connection if a statement has had no answer for `ANSWER_WITHIN` seconds. The loop calls this.

        Packets may vanish behind a proxy that continues to acknowledge them; no time-out of TCP detects that.
        """
        age = self._store.statement_age
        if age > ANSWER_WITHIN:
            logger.warning("the database has not answered a statement for %.0f s; cutting the connection", age)
            self._store.cut()

    def close(self, timeout: float) -> None:
        """End the thread and the connection. A statement that runs longer than `timeout` is left to the server."""
        self._stop_waiting.set()
        self._inbox.put(None)
        self._thread.join(timeout)

    # -- in the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while (task := self._next_task()) is not None:
                self._outbox.put(self._failed_settling or self._do(task))
        finally:
            self._store.close()

    def _next_task(self) -> Task | None:
        """The next task; what waits for its row is settled in between, also while one task follows the other."""
        if self.settling is None:
            return self._inbox.get()
        while self._failed_settling is None and (due := self.settling.due_in()) is not None:
            if due <= 0:
                self._settle(self.settling)
                continue
            try:
                return self._inbox.get(timeout=due)
            except queue.Empty:
                continue
        return self._inbox.get()

    def _settle(self, settling: Settling) -> None:
        """Settle once. An error that stops the program is the result of the next task, which comes within seconds."""
        try:
            settling.run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop has to receive it and stop
            self._failed_settling = Failed(error)

    def _do(self, task: Task) -> Result:
        try:
            return self._write(task) if isinstance(task, Batch) else self._until_available(self._read_progress)
        except StopRequestedError:
            return Stopped()
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop has to receive it and stop
            return Failed(error)

    def _write(self, batch: Batch) -> BatchWritten | BatchReturned:
        # 4.1 the database
        found = self._until_available(lambda: self._write_or_read_progress(batch))
        if isinstance(found, ProgressRead):
            return BatchReturned(batch, found.progress, found.epochs)
        self._budget.judge_refusals(len(batch.events), found.rejected)
        # 4.2 the dead letters, acknowledged
        rejected = [*batch.rejected, *found.rejected]
        if rejected:
            self._send(rejected)
        self._budget.charge(batch.records - len(rejected), len(rejected))
        # 4.3 the result: only with it the loop commits
        return BatchWritten(batch, found, len(rejected))

    def _write_or_read_progress(self, batch: Batch) -> Written | ProgressRead:
        self._connect()
        if not self._progress_returned:
            return self._read_progress()
        written = self._store.write(batch)
        self._stale = False
        return written

    def _read_progress(self) -> ProgressRead:
        self._connect()
        found = ProgressRead(*self._store.topic_progress(self._topic))
        self._progress_returned = True
        return found

    def _connect(self) -> None:
        if not self._store.connected:
            self._progress_returned = False
            self._store.connect()
            self._count_connection()

    def _send(self, rejected: list[Rejected]) -> None:
        letters = [dead_letter(item, self._group, self._clock(), self._table) for item in rejected]
        retry(
            lambda: self._sender.send(letters),
            retry_on=lambda error: isinstance(error, DeadLetterError) and error.retriable,
            stop=self._stop_waiting,
            observe=self._outages.report(DEAD_LETTER_TOPIC),
        )
        self._outages.end(DEAD_LETTER_TOPIC)
        self._lines.sent(rejected)

    def _until_available(self, action: Callable[[], T]) -> T:
        """Repeat `action` until the database is available. Blocks without a limit, until `stop_waiting`."""
        found = retry(
            lambda: self._once_more_if_stale(action),
            retry_on=DatabaseAwayError,
            stop=self._stop_waiting,
            observe=self._outages.report(DATABASE),
        )
        self._outages.end(DATABASE)
        return found

    def _once_more_if_stale(self, action: Callable[[], T]) -> T:
        """Connect again if the connection is stale, but only once until a batch was written.

        This does not write a batch twice: on the new connection `action` reads the progress.
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


def _kind(whom: str, error: BaseException) -> str:
    if whom == DEAD_LETTER_TOPIC:
        return "broker"
    return "lock" if isinstance(error, LockedError) else "database"
