"""The writer thread. It may wait for the database without a limit; the thread that polls Kafka never does.

Tasks in, results out, in one order:

    Batch         ->  BatchWritten    PostgreSQL has it, and its dead letters are acknowledged: commit its offsets
                      BatchReturned   the connection is new; here is the batch, with the progress that the database has
    ReadProgress  ->  ProgressRead    the progress that the database has
    either        ->  Failed          it cannot be done: stop, commit nothing
                      Stopped         a stop request ended it: commit nothing of it

`BatchReturned`, `Failed` and `Stopped` stand for every task that was submitted and has no result yet: nothing of
it is written. `_round` counts them, and a task that was submitted before one of them is dropped.

With several batches in flight a batch is sent without waiting for the one before (in_flight.py). After an error the
oldest is written alone, which finds out what is wrong, and the others follow it again. A batch is written alone as well
if it has dead letters, because the wait for their acknowledgement would delay the answers of the others.

One more batch waits in the inbox: the batch in hand. The loop has encoded it, so the thread sends it as soon as it may.

Between two tasks, about once a second, it settles what waits for its row in a target, which writes no state.

Nothing is written on a connection before its progress was returned to the loop: the database may have forgotten
something (design.md, "a database that forgets").
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeGuard, TypeVar

from jobstatus_consumer.core import Budget, dead_letter
from jobstatus_consumer.errors import (
    ConnectionStaleError,
    DatabaseAwayError,
    DeadLetterError,
    DeploymentError,
    LockedError,
    StopRequestedError,
    StoreError,
)
from jobstatus_consumer.records import Batch, Rejected, Written
from jobstatus_consumer.retry import retry
from jobstatus_consumer.stream.dead_letter_lines import DeadLetterLines
from jobstatus_consumer.stream.in_flight import InFlight
from jobstatus_consumer.stream.outage import Outage, OutageLog
from jobstatus_consumer.stream.ports import SenderPort, StorePort
from jobstatus_consumer.stream.settling import Settling
from jobstatus_consumer.stream.tasks import (
    IN_HAND,
    BatchReturned,
    BatchWritten,
    Failed,
    ForAll,
    ProgressRead,
    Result,
    Stopped,
    Task,
)

logger = logging.getLogger("jobstatus.writer")

ANSWER_WITHIN: Final = 15.0
"""In seconds. It is longer than the server's own statement_timeout: a server that works has answered by then."""

QUIET: Final = 0.05
"""Seconds without a task after which the connection rests."""

DATABASE: Final = "database"
DEAD_LETTER_TOPIC: Final = "dead letters' topic"

T = TypeVar("T")


class Writer:
    """Owns the database connection and sends the dead letters. `submit` tasks, then take their results, in order.

    It takes up to `several` batches that are in flight, and one in hand. A task that is no batch comes alone.
    """

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
        several: int = 1,
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
        self._inbox: queue.SimpleQueue[tuple[int, Task | None]] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._most = several + IN_HAND
        self._unanswered = 0
        # the number of results that stood for every task: as the loop has seen them, and as the thread has sent them
        self._round_seen = self._round = 0
        self._in_flight = InFlight(store, several)
        # tasks that come before those in the inbox, after an error of what was in flight
        self._put_back: deque[Task] = deque()
        # an error in flight: the next batch is written alone, which finds out what it was about
        self._alone: StoreError | None = None
        # the loop has the progress that was read on this connection
        self._progress_returned = False
        # a connection was stale after the last batch that was written
        self._stale = False
        self._stop_waiting = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobstatus-writer", daemon=True)
        self._outages = OutageLog(logger, _kind, clock)

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
        """Hand in the next task. Up to `several` + `IN_HAND` tasks may be without a result.

        A batch is encoded here, while the thread waits for the database: about 1 us for each event.
        """
        if self._unanswered >= self._most:
            raise RuntimeError("the writer has as many tasks as it takes; take a result first")
        encoded = self._store.encode(task) if isinstance(task, Batch) else task
        self._unanswered += 1
        self._inbox.put((self._round_seen, encoded))
        self._in_flight.wake()

    def result(self, timeout: float) -> Result | None:
        """Return the oldest task's result, or None after `timeout` seconds; `Failed` if the thread has died."""
        try:
            found = self._outbox.get(timeout=timeout) if timeout > 0 else self._outbox.get_nowait()
        except queue.Empty:
            if self._unanswered and not self.alive and self._outbox.empty():
                return Failed(RuntimeError("the writer thread died without a result"))
            return None
        if isinstance(found, ForAll):
            self._round_seen += 1
            self._unanswered = 0
        else:
            self._unanswered -= 1
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
        self._inbox.put((self._round_seen, None))
        self._in_flight.wake()
        self._thread.join(timeout)

    # -- in the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while (task := self._next_task()) is not None:
                self._take(task)
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop has to receive it and stop
            self._answer(Failed(error))
        finally:
            self._store.close()
            self._in_flight.close()

    def _take(self, task: Task) -> None:
        """Send a batch, or do the task alone once everything in flight has its result."""
        if self._may_be_sent(task) and self._sent(task):
            return
        if self._in_flight:
            # what was put back and is not sent yet is newer
            self._put_back.appendleft(task)
            self._receive_all()
        else:
            self._answer(self._failed_settling or self._do(task))

    def _may_be_sent(self, task: Task) -> TypeGuard[Batch]:
        return (
            self._in_flight.several
            and isinstance(task, Batch)
            and not task.rejected
            and self._alone is None
            and self._store.connected
            and self._progress_returned
            and self._failed_settling is None
        )

    def _sent(self, batch: Batch) -> bool:
        """Send a batch; False if it has to be written alone."""
        try:
            return self._in_flight.send(batch)
        except StoreError as error:
            self._put_back.appendleft(batch)
            self._again(error)
            return True

    def _receive_all(self) -> None:
        while self._in_flight:
            self._receive()

    def _receive(self) -> None:
        """Wait for the oldest batch in flight, or until there is a task as well as room for it."""
        try:
            found = self._in_flight.receive()
        except StoreError as error:
            self._again(error)
            return
        if found is not None:
            self._stale = False
            self._answer(self._result_of(lambda: self._finish(*found)))

    def _again(self, error: StoreError) -> None:
        """After an error in flight: write the oldest batch alone, and send the others behind it again."""
        logger.debug("what was in flight is written again: %s", error)
        self._put_back.extendleft(reversed(self._in_flight.take_all()))
        self._alone = error

    def _answer(self, result: Result) -> None:
        if isinstance(result, ForAll):
            self._round += 1
            self._put_back.clear()
            if self._in_flight.take_all():
                # the store would take an answer that is left for that of a later batch
                self._store.close()
        self._outbox.put(result)

    def _next_task(self) -> Task | None:
        """The next task. In between what is in flight is received, and what waits for its row is settled."""
        while True:
            if self._in_flight and (self._in_flight.full or self._must_rest):
                self._receive()
            elif self._in_flight.tired:
                self._rest()
            elif self._put_back:
                return self._put_back.popleft()
            elif not self._in_flight and self._settles_now():
                continue
            elif (found := self._from_inbox()) is not None:
                number, task = found
                if task is None or number == self._round:
                    return task

    def _from_inbox(self) -> tuple[int, Task | None] | None:
        """What is in the inbox; None where something else has to be done before there is a task."""
        try:
            if self._in_flight:
                return self._inbox.get_nowait()
            return self._inbox.get(timeout=self._idle_for())
        except queue.Empty:
            if self._in_flight:
                self._receive()
            else:
                self._rest()
            return None

    def _idle_for(self) -> float | None:
        """For how many seconds to wait for a task; None without a limit."""
        due = self._settling_due()
        quiet = None if self._in_flight.resting else QUIET
        return min((item for item in (due, quiet) if item is not None), default=None)

    @property
    def _must_rest(self) -> bool:
        due = self._settling_due()
        return self._in_flight.tired or (due is not None and due <= 0)

    def _settling_due(self) -> float | None:
        if self.settling is None or self._failed_settling is not None:
            return None
        return self.settling.due_in()

    def _settles_now(self) -> bool:
        """Settle what waits for its row, if that is due."""
        due = self._settling_due()
        if self.settling is None or due is None or due > 0:
            return False
        self._rest()
        self._settle(self.settling)
        return True

    def _rest(self) -> None:
        try:
            self._in_flight.rest()
        except StoreError as error:
            logger.debug("the connection was lost at rest: %s", error)

    def _settle(self, settling: Settling) -> None:
        """Settle once. An error that stops the program is the result of the next task, which comes within seconds."""
        try:
            settling.run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop has to receive it and stop
            self._failed_settling = Failed(error)

    def _do(self, task: Task) -> Result:
        self._rest()
        if isinstance(task, Batch):
            return self._result_of(lambda: self._write(task))
        return self._result_of(lambda: self._until_available(self._read_progress))

    @staticmethod
    def _result_of(action: Callable[[], Result]) -> Result:
        try:
            return action()
        except StopRequestedError:
            return Stopped()
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop has to receive it and stop
            return Failed(error)

    def _write(self, batch: Batch) -> BatchWritten | BatchReturned:
        # 4.1 the database
        found = self._until_available(lambda: self._write_or_read_progress(batch))
        if isinstance(found, ProgressRead):
            return BatchReturned(batch, found.progress, found.epochs)
        if self._alone is not None and not found.rejected:
            self._in_flight.note_vain(self._alone)
        self._alone = None
        return self._finish(batch, found)

    def _finish(self, batch: Batch, found: Written) -> BatchWritten:
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
