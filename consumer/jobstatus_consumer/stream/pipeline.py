"""The loop: the one place with control flow and state.

    1. poll, also while waiting for anything
    2. decode; what does not decode is rejected
    3. fill the batch
    4. hand it to the writer: the database, then its dead letters, acknowledged       (writer.py)
    5. take the result: only now are its offsets safe
    6. commit what is safe, explicitly; never past an unwritten event
    7. after a crash anything may come again; the guard in the table makes that change nothing

One batch is in flight, one is filling. When both are full the loop gives the writer `PATIENCE` seconds without
pausing (a pause throws away what was prefetched), and only then pauses every partition and goes on polling.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core.dead_letter_budget import Budget
from jobstatus_consumer.core.decode import decoder_of
from jobstatus_consumer.core.start_offsets import Start, Watermarks, newest_log, rewind_to, start_of, unknown_log
from jobstatus_consumer.errors import DeadLetterBudgetError
from jobstatus_consumer.kafka.group_consumer import Assigned, EndOfPartition, GroupConsumer
from jobstatus_consumer.records import Batch, Log, LogRange, RawRecord
from jobstatus_consumer.stream.batch import BatchBuilder
from jobstatus_consumer.stream.run_stats import RunStats
from jobstatus_consumer.stream.writer import (
    Done,
    Failed,
    ProgressRead,
    ReadProgress,
    Result,
    Stopped,
    Unverified,
    Writer,
)

logger = logging.getLogger("jobstatus.consumer")

PATIENCE: Final = 1.0
IDLE_POLL: Final = 0.25
BUSY_POLL: Final = 0.02
COMMIT_EVERY: Final = 0.2
OBSERVE_EVERY: Final = 1.0
REVOKE_WAIT: Final = 10.0
STOP_WAIT: Final = 8.0
NOT_KNOWN: Final = -1
JOIN_WITHIN: Final = 30.0
"""A member for whom no partition is left may never be told of an assignment."""


@dataclass(slots=True)
class Partition:
    """What the loop knows of a partition it has. Offsets are the next ones: `filled` <= polled, `safe` <= `filled`.

    `committed` was sent to the broker, `settled` it has acknowledged; `new`: the group had committed nothing.
    `epoch` tells a batch from before a rewind or a rebalance from one after it. `unsure`: a loss was accepted here on
    the word of a commit that says nothing of the log.
    """

    log: Log
    low: int
    filled: int
    safe: int
    epoch: int
    committed: int
    settled: int
    compared: bool = False
    new: bool = False
    unsure: bool = False


class Pipeline:
    """Reads the topic as a member of the group and writes it, batch by batch, until it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        make_source: Callable[[Pipeline], GroupConsumer],
        writer: Writer,
        tally: RunStats,
        budget: Budget,
    ) -> None:
        self._topic = settings.topic
        self._decode = decoder_of(settings).decode
        self._accept_loss = settings.on_lost_offsets == "earliest"
        self._builder = BatchBuilder(settings.batch_max_events, settings.batch_max_bytes, settings.batch_linger_seconds)
        self._writer = writer
        self._tally = tally
        self._budget = budget
        self._partitions: dict[int, Partition] = {}
        self._kept: deque[RawRecord | EndOfPartition] = deque()
        self._again: Batch | None = None
        self._in_flight: dict[int, int] = {}
        self._comparing: dict[int, int] = {}
        self._epochs = 0
        self._held = False
        self._leaving = False
        self._last_commit = self._observed = self._subscribed_at = 0.0
        self.polled_at = time.monotonic()
        self.source = make_source(self)

    # -- the loop ---------------------------------------------------------------------------------------------------

    def run(self, stop: Callable[[], bool]) -> None:
        """Go on until `stop()`; then write and commit what is in hand, within a bound, and leave the group."""
        self.source.subscribe()
        self._subscribed_at = time.monotonic()
        try:
            while not stop():
                self.step()
            self._finish()
        except BaseException:
            self._leaving = True
            self._writer.stop_waiting()
            raise
        finally:
            self.source.close()

    def step(self) -> None:
        """Once around: poll, fill, take what the writer did, give it what comes next, commit."""
        now = time.monotonic()
        self._poll(self._poll_timeout(now))
        self._take_result(0)
        self._advance(time.monotonic())
        self._commit(wait=False)
        self._observe()

    def _observe(self) -> None:
        now = time.monotonic()
        if now - self._observed < OBSERVE_EVERY:
            return
        self._observed = now
        self.source.watch()
        self._writer.cut_if_overdue()
        lag = {n: max(0, self.source.high(n) - item.safe) for n, item in self._partitions.items()}
        self._tally.observe(lag, self.source, self._writer)

    def _poll_timeout(self, now: float) -> float:
        if self._kept and not self._held:
            return 0
        longest = BUSY_POLL if self._writer.busy else IDLE_POLL
        due = None if self._held else self._builder.due_in(now)
        return longest if due is None else min(due, longest)

    def _poll(self, timeout: float) -> None:
        # 1. poll; what comes although all is paused is kept
        room = self._builder.room - len(self._kept)
        found = self.source.poll(max(1, room), timeout)
        self.polled_at = time.monotonic()
        self._kept.extend(found)
        self._fill(self.polled_at)

    def _fill(self, now: float) -> None:
        # 2. and 3.
        builder, decode = self._builder, self._decode
        while self._kept and builder.room > 0 and not builder.heavy:
            item = self._kept.popleft()
            partition = self._partitions.get(item.partition)
            if partition is None:
                continue  # revoked since it was polled: it comes again elsewhere
            if isinstance(item, EndOfPartition):
                self._cover_gap(partition, item.offset, now)
                continue
            builder.add(decode(item), partition.filled, now)
            partition.filled = item.offset + 1

    def _cover_gap(self, partition: Partition, end: int, now: float) -> None:
        if end > partition.filled:
            log = partition.log
            self._builder.skip(LogRange(log.topic, log.partition, log.id, partition.filled, end), now)
            partition.filled = end

    def _advance(self, now: float) -> None:
        if self._writer.busy and self._builder.full(now):
            self._wait_for_room()
        if self._writer.busy:
            return
        if any(not partition.compared for partition in self._partitions.values()):
            self._compare()
        elif self._again is not None:
            batch, self._again = self._again, None
            self._submit(batch)
        elif self._builder.full(now) and not self._builder.empty:
            self._submit(self._builder.take())
        elif self._held:
            self._release()

    def _compare(self) -> None:
        self._comparing = {number: partition.epoch for number, partition in self._partitions.items()}
        log_ids = [partition.log.id for partition in self._partitions.values()]
        self._writer.submit(ReadProgress(self._topic, log_ids))

    def _submit(self, batch: Batch) -> None:
        # 4. the epochs tell, when the result comes, which of its offsets are still ours
        self._in_flight = {span.partition: self._partitions[span.partition].epoch for span in batch.spans}
        self._writer.submit(batch)

    def _wait_for_room(self) -> None:
        if self._builder.room > 0 and not self._builder.heavy:
            self._take_result(BUSY_POLL / 4)  # full by age alone: more may come meanwhile
        elif not self._held and not self._take_result(PATIENCE):
            self._hold()

    def _hold(self) -> None:
        self._held = True
        self.source.pause(self._partitions)

    def _release(self) -> None:
        self._held = False
        self._resume()

    def _resume(self) -> None:
        self.source.resume(number for number, partition in self._partitions.items() if partition.compared)

    # -- what the writer did ----------------------------------------------------------------------------------------

    def _take_result(self, timeout: float) -> bool:
        result = self._writer.result(timeout) if self._writer.busy else None
        if result is None:
            return False
        self._on_result(result)
        return True

    def _on_result(self, result: Result) -> None:
        match result:
            case Done():
                self._on_done(result)
            case Unverified():
                self._again = self._still_ours(result.batch)
                for partition in self._partitions.values():
                    partition.compared = False
            case ProgressRead():
                self._on_known(result.next_offsets)
            case Failed():
                self._on_failed(result.error)
            case Stopped():
                self._on_stopped()

    def _on_stopped(self) -> None:
        if not self._leaving:
            # its batch is gone; to go on would be to commit past it
            raise RuntimeError("the writer was told to stop, and the loop was not")
        self._in_flight = {}
        # nothing behind the batch that was given up may be written in its place
        self._forget(set(self._partitions))

    def _on_failed(self, error: BaseException) -> NoReturn:
        if isinstance(error, DeadLetterBudgetError):
            # the same offsets again, with the count beside them: the next start must not begin at nought
            self._save_budget()
        raise error

    def _save_budget(self) -> None:
        safe = {number: partition.safe for number, partition in self._partitions.items()}
        if safe:
            self.source.commit(safe, self._budget.state, wait=True)

    def _on_done(self, done: Done) -> None:
        # 5. safe now, where it is still ours
        for span in done.batch.spans:
            partition = self._partitions.get(span.partition)
            if partition is not None and partition.epoch == self._in_flight.get(span.partition):
                if span.start > partition.safe:
                    raise RuntimeError(
                        f"offsets {partition.safe} to {span.start} of {span.log_id} were never written, and a batch "
                        "behind them was: a bug in jobstatus; stopped, and nothing behind them was committed"
                    )
                partition.safe = max(partition.safe, span.end)
        self._in_flight = {}
        if done.batch.records:
            self._tally.wrote(done)

    def _still_ours(self, batch: Batch) -> Batch | None:
        gone = {
            span.partition
            for span in batch.spans
            if span.partition not in self._partitions
            or self._partitions[span.partition].epoch != self._in_flight.get(span.partition)
        }
        self._in_flight = {}
        return batch.without(gone)

    def _on_known(self, known: Mapping[str, int]) -> None:
        for number, partition in self._partitions.items():
            # of those asked about, all: the connection may be new to the ones that were compared before, too
            if partition.epoch != self._comparing.get(number):
                continue
            partition.compared = True
            newest = newest_log(partition.log, known, fresh=partition.unsure)
            partition.unsure = False
            if newest != partition.log:
                # told by whoever accepted a loss here; the commit that is there now, made by another tool, is not
                logger.info("going on in %s as %s", partition.log.id, newest.id)
                self._rewind(number, Start(newest, partition.safe))
            if partition.new:
                unknown_log(partition.log, known, partition.low, accept_loss=self._accept_loss)
                partition.new = False
            found = rewind_to(
                partition.log,
                partition.safe,
                partition.low,
                known.get(partition.log.id),
                accept_loss=self._accept_loss,
            )
            if found is not None:
                logger.warning("%s; seeking back to %d, the log heals the table", found.remark, found.offset)
                self._rewind(number, found)
        if not self._held:
            self._resume()

    def _rewind(self, number: int, start: Start) -> None:
        partition = self._partitions[number]
        self._forget({number})
        partition.log = start.log
        partition.filled = partition.safe = start.offset
        self._epochs += 1
        partition.epoch = self._epochs
        self.source.seek(start)

    def _forget(self, numbers: set[int]) -> None:
        """Drop what is in hand of these partitions: it comes again."""
        self._builder.drop(numbers)
        self._kept = deque(item for item in self._kept if item.partition not in numbers)
        if self._again is not None:
            self._again = self._again.without(numbers)

    # -- offsets ----------------------------------------------------------------------------------------------------

    def _commit(self, *, wait: bool, only: set[int] | None = None) -> None:
        # 6. explicit offsets, and only safe ones
        now = time.monotonic()
        if not wait and now - self._last_commit < COMMIT_EVERY:
            return
        offsets = {
            number: partition.safe
            for number, partition in self._partitions.items()
            # what was only sent may yet be refused: the last commit before leaving does not rely on it
            if partition.safe != (partition.settled if wait else partition.committed)
            and (only is None or number in only)
        }
        if not offsets:
            return
        self._last_commit = now
        if not self.source.commit(offsets, self._budget.state, wait=wait):
            return
        for number, offset in offsets.items():
            self._partitions[number].committed = offset
            if wait:
                self._partitions[number].settled = offset

    # -- a rebalance, told from inside poll or close ----------------------------------------------------------------

    def on_assigned(self, partitions: list[Assigned]) -> list[Start]:
        """Where to start each; reading begins once the database was asked what it knows."""
        starts = []
        for item in partitions:
            known = item.committed
            bounds = Watermarks(item.low, item.high)
            start = start_of(item.log, known.offset, known.topic_id, bounds, accept_loss=self._accept_loss)
            if start.remark:
                logger.warning("%s", start.remark)
            self._budget.resume(known.budget)
            self._epochs += 1
            at = start.offset
            self._partitions[start.log.partition] = Partition(
                log=start.log,
                low=item.low,
                filled=at,
                safe=at,
                epoch=self._epochs,
                committed=at,
                settled=at,
                new=known.offset is None,
                unsure=not known.topic_id and start.log.incarnation > item.log.incarnation,
            )
            starts.append(start)
        logger.info("got partitions %s", _named(start.log.partition for start in starts))
        return starts

    def on_revoked(self, partitions: set[int]) -> None:
        """Wait for the batch in flight within a bound, commit what is safe, drop the rest."""
        in_flight = self._writer.busy and self._in_flight.keys() & partitions
        if in_flight and self._writer.waiting is None and not self._leaving:
            self._take_result(REVOKE_WAIT)
        self._commit(wait=True, only=partitions)
        self._drop(partitions)
        if not self._leaving:
            logger.info("gave back partitions %s", _named(partitions))

    def on_lost(self, partitions: set[int]) -> None:
        """They are somebody else's already: commit nothing."""
        self._drop(partitions)
        logger.warning("lost partitions %s; what was not committed comes again elsewhere", _named(partitions))

    def on_not_committed(self, partitions: set[int]) -> None:
        """Commit again what is still ours: without it, the last commit before a quiet time might never be made."""
        for number in partitions & self._partitions.keys():
            self._partitions[number].committed = NOT_KNOWN

    def _drop(self, partitions: set[int]) -> None:
        self._forget(partitions)
        for number in partitions:
            self._partitions.pop(number, None)

    # -- the end ----------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Write what is in hand, in flight or filling, within a bound; commit it. A wait for the database ends."""
        self._leaving = True
        self._writer.stop_waiting()
        deadline = time.monotonic() + STOP_WAIT
        self._take_result(max(0.0, deadline - time.monotonic()))
        if self._ready_to_write_more() and not self._builder.empty:
            self._submit(self._builder.take())
            self._take_result(max(0.0, deadline - time.monotonic()))
        self._commit(wait=True)

    def _ready_to_write_more(self) -> bool:
        settled = not self._writer.busy and self._again is None
        return settled and all(partition.compared for partition in self._partitions.values())

    # -- for people and programs ------------------------------------------------------------------------------------

    def caught_up(self, ends: Mapping[int, int], committed_elsewhere: Callable[[set[int]], Mapping[int, int]]) -> bool:
        """True where everything before `ends` is written: by this member, or by another one of the group.

        Nothing is taken for granted before this member has joined: the group's word alone does not say what the
        database has, nor whether the log is still the same.
        """
        if not self.source.rebalances and time.monotonic() - self._subscribed_at < JOIN_WITHIN:
            return False
        for number, end in ends.items():
            mine = self._partitions.get(number)
            if mine is not None and (mine.safe < end or not mine.compared):
                return False
        others = {number for number, end in ends.items() if number not in self._partitions and end > 0}
        if not others:
            return True
        elsewhere = committed_elsewhere(others)
        return all(elsewhere.get(number, -1) >= ends[number] for number in others)

    @property
    def assigned(self) -> int:
        """How many partitions this member has."""
        return len(self._partitions)


def _named(partitions: Iterable[int]) -> str:
    return ", ".join(str(number) for number in sorted(partitions)) or "none"
