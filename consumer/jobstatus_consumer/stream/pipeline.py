"""The loop: the one place with control flow.

    1. Poll, also while waiting for anything.
    2. Decode; a record that does not decode is rejected.
    3. Fill the batch.
    4. Submit it to the writer: PostgreSQL, then its dead letters, acknowledged (writer.py).
    5. Take the result; only now are the batch's offsets written (assignment.py).
    6. Commit what is written: explicit offsets, never past an event that is not written.
    7. After a crash any event may be delivered again; the guard in the table makes that change nothing.

Up to `batches_in_flight` batches are on their way to the database, one more is in the writer's hand (window.py), and
one is being filled. When all are full, the loop waits up to `PATIENCE` seconds without pausing (a pause discards the
prefetched messages); then it pauses every partition and continues to poll. A batch is submitted when it is due
(batch.py). Where it is due once the writer is idle, the loop waits for a result instead of for messages, and then takes
the messages that have come meanwhile.

A partition is fetched as soon as it is assigned, and compared with the database's progress meanwhile: a pause until the
comparison would cost a second. Nothing is submitted before every partition was compared.

On a new connection the writer returns its batches unwritten, together with the progress that the database has. The loop
compares, seeks back where the database has less, and submits the rest of the batches again, one after the other.

Where a log lost its tail, what was read of the tail is written, and the partition continues with the first record that
is there now, as another log.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Final, NoReturn

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import Budget, StartOffset, decoder_of
from jobstatus_consumer.errors import DeadLetterBudgetError
from jobstatus_consumer.kafka import AssignedPartition, EndOfPartition, GroupConsumer, LogCut, Polled
from jobstatus_consumer.records import NO_EPOCH, Batch, LogRange, RawRecord, TopicProgress
from jobstatus_consumer.stream.assignment import Assignment, Partition, named
from jobstatus_consumer.stream.batch import BatchBuilder
from jobstatus_consumer.stream.filling import fill
from jobstatus_consumer.stream.lag import Lag, LagWatch
from jobstatus_consumer.stream.run_stats import RunStats
from jobstatus_consumer.stream.schemas import AskedSchemas, SchemaPendingError
from jobstatus_consumer.stream.tasks import (
    IN_HAND,
    BatchReturned,
    BatchWritten,
    Failed,
    ProgressRead,
    ReadProgress,
    Result,
    Stopped,
    Task,
)
from jobstatus_consumer.stream.window import Submitted, Window
from jobstatus_consumer.stream.writer import Writer

logger = logging.getLogger("jobstatus.consumer")

PATIENCE: Final = 1.0
IDLE_POLL: Final = 0.25
BUSY_POLL: Final = 0.02
COMMIT_EVERY: Final = 0.2
OBSERVE_EVERY: Final = 1.0
LOOK_EVERY: Final = 5.0
REVOKE_WAIT: Final = 10.0
STOP_WAIT: Final = 8.0
"""All in seconds."""


class State(Enum):
    """What the loop does with the topic."""

    READING = auto()
    """fetches from every partition"""
    PAUSED = auto()
    """fetches nothing, since all batches are full, and continues to poll"""
    LEAVING = auto()
    """polls no more; writes and commits what it has, and leaves the group"""


class Pipeline:
    """Reads the topic as a member of the group and writes it, batch by batch, until it is stopped."""

    def __init__(
        self,
        settings: Settings,
        consumer: GroupConsumer,
        writer: Writer,
        stats: RunStats,
        budget: Budget,
        clock: Callable[[], float] = time.monotonic,
        schemas: AskedSchemas | None = None,
    ) -> None:
        self._decoder = decoder_of(settings, None if schemas is None else schemas.schema_of)
        self._schemas = schemas
        self._builder = BatchBuilder(
            settings.batch_max_events, settings.batch_max_bytes, settings.batch_linger_seconds, settings.batch_flush
        )
        self._consumer = consumer
        self._writer = writer
        self._stats = stats
        self._budget = budget
        self._clock = clock
        self._state = State.READING
        # polled, and not yet in the batch
        self._polled: deque[Polled] = deque()
        self._window = Window(settings.batches_in_flight + IN_HAND)
        # returned inside a rebalance, where nothing may seek: it is handled after the poll
        self._postponed: BatchReturned | None = None
        self._last_commit = self._observed = self._last_task = -math.inf
        self._lag_watch = LagWatch()
        self.lag = Lag({}, {})
        self.assignment = Assignment(accept_loss=settings.on_lost_offsets == "earliest")
        self.polled_at = clock()

    # -- the loop ---------------------------------------------------------------------------------------------------

    def run(self, stop: Callable[[], bool]) -> None:
        """Continue until `stop()` is true; then write and commit what was polled, within a limit, and leave the group.

        Raises what stops the consumer: `OffsetsLostError`, `BrokerError`, `DeploymentError`, `DeadLetterBudgetError`.
        """
        self._consumer.subscribe(self)
        try:
            while not stop():
                self.step()
            self._finish()
        except BaseException:
            self._state = State.LEAVING
            self._writer.stop_waiting()
            raise
        finally:
            self._consumer.close()

    def step(self) -> None:
        """Go around once. Blocks for `PATIENCE` seconds at most, but for a rebalance."""
        self._poll()
        self._fill(self.polled_at)
        while self._take_result(0):
            pass
        self._pass_cuts()
        self._advance(self._clock())
        self._commit(wait=False)
        self._observe()

    def _poll(self) -> None:
        if self._builder.awaits_writer:
            self._take_result(BUSY_POLL / 4)
        # 1. a record that comes although its partition is paused waits in `_polled`
        room, before = self._builder.room - len(self._polled), self.assignment.epoch
        found = self._consumer.poll(max(1, room), self._poll_timeout())
        # looked up now: a rebalance inside the poll has put another deque in its place
        self._polled.extend(found)
        self.polled_at = self._clock()
        if self._state is State.PAUSED and self.assignment.epoch != before:
            self._pause()  # partitions that were assigned inside the poll are fetched otherwise

    def _poll_timeout(self) -> float:
        paused = self._state is State.PAUSED
        if self._builder.awaits_writer or (self._polled and not paused):
            return 0
        longest = BUSY_POLL if self._window.busy else IDLE_POLL
        due = None if paused else self._builder.due_in(self._clock())
        return longest if due is None else min(due, longest)

    def _fill(self, now: float) -> None:
        if self._schemas is not None:
            self._schemas.settle(self._polled)
        # 2. and 3.
        try:
            while (
                mark := fill(self._builder, self._polled, self.assignment.partitions, self._decoder, now)
            ) is not None:
                self._fill_mark(mark, now)
        except SchemaPendingError:
            self._wait_for_schema()
        if len(self._builder):
            self._stats.began()
        if self.assignment.backlog_polled():
            self._builder.hurry()  # what waited for a consumer does not wait for more events as well

    def _wait_for_schema(self) -> None:
        """Fetch no more, and write what comes before the record that waits for its schema."""
        if self._schemas is not None:
            self._schemas.hold(self._polled[0])
        self._builder.hurry()
        if self._state is State.READING:
            self._pause()

    def _fill_mark(self, mark: Polled, now: float) -> None:
        if isinstance(mark, EndOfPartition):
            self._cover_gap(self.assignment.partitions[mark.partition], mark.offset, now)
        elif isinstance(mark, LogCut):
            # what was read of the lost tail is written at once; then the partition continues behind the cut
            self.assignment.note_cut(mark)
            self._builder.hurry()

    def _cover_gap(self, partition: Partition, end: int, now: float) -> None:
        if end > partition.buffered:
            log = partition.log
            self._builder.skip(LogRange(log.topic, log.partition, log.id, partition.buffered, end), now)
            partition.buffered = end

    def _advance(self, now: float) -> None:
        if not self._has_room and self._builder.full(now):
            self._wait_for_room()
        if not self._has_room:
            return
        if not self.assignment.all_compared:
            self._submit(ReadProgress())
        elif (batch := self._next_batch(now)) is not None:
            self._submit(batch)
        elif self._state is State.PAUSED and not (self._schemas and self._schemas.awaited):
            self._state = State.READING
            self._consumer.resume(self.assignment.partitions)
        elif now - self._last_task >= LOOK_EVERY and self._builder.empty and not self._window.busy:
            # the database may have failed over to a standby that lacks something, and no event would show that
            self._submit(ReadProgress())

    @property
    def _has_room(self) -> bool:
        """Whether a task may be submitted. A comparison waits until the writer has none."""
        return not self._window.busy or (self._window.takes_batch and self.assignment.all_compared)

    def _next_batch(self, now: float) -> Batch | None:
        if (batch := self._window.next_returned()) is not None:
            return batch
        due = self._builder.due(now, writer_idle=not self._window.busy)
        return self._builder.take(self._consumer.epoch_before) if due else None

    def _submit(self, task: Task) -> None:
        # 4.
        self._window.submit(Submitted.at(self.assignment.epoch, task))
        self._last_task = self._clock()
        self._writer.submit(task)

    def _wait_for_room(self) -> None:
        if self._builder.room > 0 and not self._builder.heavy:
            self._take_result(BUSY_POLL / 4)  # full by age alone: more records may come meanwhile
        elif self._state is State.READING and (self._builder.uncounted or not self._take_result(PATIENCE)):
            self._pause()

    def _pause(self) -> None:
        self._state = State.PAUSED
        self._consumer.pause(self.assignment.partitions)

    def _observe(self) -> None:
        now = self._clock()
        if now - self._observed < OBSERVE_EVERY:
            return
        self._observed = now
        self._consumer.check_topic(self.assignment.topic_id)
        self._writer.cut_if_overdue()
        lag = self.assignment.lag(self._consumer.high)
        self.lag = self._lag_watch.measured(lag, self._unwritten(), time.time())
        self._stats.tick()

    def _unwritten(self) -> Iterator[RawRecord]:
        """The records that were polled and are not written."""
        for batch in self._window.batches():
            yield from batch.raw_records()
        yield from self._builder.raw_records()
        yield from (item for item in self._polled if isinstance(item, RawRecord))

    # -- the writer's results ---------------------------------------------------------------------------------------

    def _take_result(self, timeout: float) -> bool:
        result: Result | None
        result, self._postponed = self._postponed, None
        if result is None and self._window.busy:
            result = self._writer.result(timeout)
        if result is None:
            return False
        self._on_result(result)
        return True

    def _on_result(self, result: Result) -> None:
        match result:
            case BatchWritten():
                self._on_written(result)
            case BatchReturned():
                epoch = self._window.given_back(self.assignment.changed_since)
                self._compare(TopicProgress(result.progress, result.epochs), epoch)
            case ProgressRead():
                epoch = self._window.answered().epoch
                self._compare(TopicProgress(result.progress, result.epochs), epoch)
            case Failed():
                self._on_failed(result.error)
            case Stopped():
                self._on_stopped()

    def _on_written(self, result: BatchWritten) -> None:
        # 5. written now, for partitions that are still assigned as they were
        self.assignment.mark_written(result.batch.ranges, self._window.answered().epoch)
        if result.batch.records:
            self._stats.wrote(result)

    def _on_failed(self, error: BaseException) -> NoReturn:
        if isinstance(error, DeadLetterBudgetError):
            # the same offsets again, to save the count in their metadata: the next start must not begin at zero
            offsets = self.assignment.written()
            if offsets:
                self._consumer.commit(offsets, self._budget.state, wait=True)
        raise error

    def _on_stopped(self) -> None:
        if self._state is not State.LEAVING:
            # the batch is gone; to continue would be to commit past it
            raise RuntimeError("the writer has stopped, although the loop goes on")
        # nothing behind the batch that was given up may be written in its place
        self._window.give_up()
        self._forget(set(self.assignment.partitions))

    def _compare(self, progress: TopicProgress, epoch: int) -> None:
        for start in self.assignment.compare(progress.offsets, epoch, progress.epochs):
            if start.remark:
                where = {"partition": start.log.partition, "offset": start.offset, "reason": start.remark}
                logger.warning(
                    "%s; seeking back to %d, the log heals the table", start.remark, start.offset, extra=where
                )
            self._rewind(start)
        for log in self.assignment.logs_unchanged(epoch):
            known, known_epoch = progress.offsets.get(log.id, 0), progress.epochs.get(log.id, NO_EPOCH)
            cut = self._consumer.compare(log.partition, known, known_epoch)
            if cut is not None:
                self._pass_cut(self.assignment.after_cut(cut))

    def _pass_cuts(self) -> None:
        for start in self.assignment.after_cuts():
            self._pass_cut(start)

    def _pass_cut(self, start: StartOffset) -> None:
        """Continue behind a cut, and have the database note at once where the new log begins."""
        logger.warning("%s", start.remark)
        self._rewind(start)
        log, offset, *_ = start
        self._builder.skip(LogRange(log.topic, log.partition, log.id, offset, offset), self._clock())
        self._builder.hurry()

    def _rewind(self, start: StartOffset) -> None:
        self._forget({start.log.partition})
        self.assignment.rewind(start)
        self._consumer.seek(start)

    def _forget(self, numbers: set[int]) -> None:
        """Drop what was polled of these partitions and is not written: it is delivered again."""
        self._builder.drop(numbers)
        self._polled = deque(item for item in self._polled if item.partition not in numbers)
        self._window.forget(numbers)

    # -- offsets ----------------------------------------------------------------------------------------------------

    def _commit(self, *, wait: bool, only: set[int] | None = None) -> None:
        # 6. the last commit before leaving does not rely on one that was only sent: the broker may refuse that yet
        now = self._clock()
        if not wait and now - self._last_commit < COMMIT_EVERY:
            return
        offsets = self.assignment.to_commit(acked=wait, only=only)
        if not offsets:
            return
        self._last_commit = now
        if self._consumer.commit(offsets, self._budget.state, wait=wait):
            self.assignment.mark_committed(offsets, acked=wait)

    # -- rebalances, called inside poll and close -------------------------------------------------------------------

    def on_assigned(self, partitions: list[AssignedPartition]) -> list[StartOffset]:
        """Return where to start each. It is written once it was compared with the database's progress."""
        starts = []
        for item in partitions:
            start = self.assignment.add(item)
            if start.remark:
                logger.warning("%s", start.remark)
            if self._budget.resume(item.committed.budget) and start.offset == item.committed.offset:
                # the same offset again, without the counts beside it
                self.assignment.mark_not_committed([start.log.partition])
            starts.append(start)
        numbers = sorted(start.log.partition for start in starts)
        logger.info("got partitions %s", named(numbers), extra={"partitions": numbers})
        return starts

    def on_revoked(self, partitions: set[int]) -> None:
        """Wait up to `REVOKE_WAIT` seconds for their batches in the writer, commit what is written, drop the rest."""
        leaving = self._state is State.LEAVING
        if self._writer.outage is None and not leaving:
            self._take_results_inside_rebalance(partitions)
        self._commit(wait=True, only=partitions)
        self._remove(partitions)
        if not leaving:
            logger.info("gave back partitions %s", named(partitions), extra={"partitions": sorted(partitions)})

    def _take_results_inside_rebalance(self, partitions: set[int]) -> None:
        deadline = self._clock() + REVOKE_WAIT
        while self._postponed is None and self._window.has_of(partitions):
            result = self._writer.result(max(0.0, deadline - self._clock()))
            if result is None:
                return
            if isinstance(result, BatchReturned):
                # the client must not be asked to seek or to resume inside its own callback
                self._postponed = result
            else:
                self._on_result(result)

    def on_lost(self, partitions: set[int]) -> None:
        """Commit nothing: they already belong to another member."""
        self._remove(partitions)
        logger.warning(
            "lost partitions %s; what was not committed is delivered to another member",
            named(partitions),
            extra={"partitions": sorted(partitions)},
        )

    def on_not_committed(self, partitions: set[int]) -> None:
        """Commit again what is still assigned; otherwise the last commit before a quiet time might never be made."""
        self.assignment.mark_not_committed(partitions)

    def _remove(self, partitions: set[int]) -> None:
        self._forget(partitions)
        self.assignment.remove(partitions)

    # -- the end ----------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Write what was polled, within `STOP_WAIT` seconds, and commit it. A wait for the database ends at once."""
        self._state = State.LEAVING
        self._writer.stop_waiting()
        deadline = self._clock() + STOP_WAIT
        while self._take_result(max(0.0, deadline - self._clock())) or self._submit_before(deadline):
            pass
        self._commit(wait=True)

    def _submit_before(self, deadline: float) -> bool:
        """Submit the next batch, if there is one and still time."""
        if self._window.busy or not self.assignment.all_compared or self._clock() >= deadline:
            return False
        batch = self._next_batch(math.inf)
        if batch is not None:
            self._submit(batch)
        return batch is not None
