"""The member of the consumer group: the only place that polls, pauses, seeks and commits.

Everything here runs in the Kafka thread, and the rebalance callbacks run inside `poll`. Only the callbacks that come
while the member leaves the group run in a thread of their own; the Kafka thread waits for the end of that thread.

The loop decides which log is read in each partition, and from which offset. This class only keeps the position up to
which it has polled each assigned partition, and the leader epochs up to there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Any, Final, NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core.dead_letter_budget import BudgetState
from jobstatus_consumer.core.start_offsets import StartOffset
from jobstatus_consumer.errors import OffsetsLostError
from jobstatus_consumer.kafka.client import (
    QuietErrors,
    broker_error,
    consumer_properties,
    describe,
    error_of,
    make,
)
from jobstatus_consumer.kafka.commits import CommitCounts, CommittedOffset, commit_metadata
from jobstatus_consumer.kafka.divergence import LogCut, Place, find_cuts, places_in_doubt
from jobstatus_consumer.kafka.member_properties import is_cooperative, member_defaults
from jobstatus_consumer.kafka.messages import Meaning, UnreadableHeaders, meaning_of, raw_record
from jobstatus_consumer.kafka.offsets import committed
from jobstatus_consumer.kafka.positions import Position
from jobstatus_consumer.kafka.topics import Topics
from jobstatus_consumer.records import NO_EPOCH, Log, RawRecord

logger = logging.getLogger("jobstatus.kafka")

LEAVE_SECONDS: Final = 10.0
"""The limit for leaving the group. A commit to an unreachable broker takes 6 s of it."""


class AssignedPartition(NamedTuple):
    """A partition that was assigned to this member: its log, the group's commit, and the log's watermarks.

    `cut` says that the log no longer has what the group had read; nothing comes from the partition until `seek` then.
    """

    log: Log
    committed: CommittedOffset
    low: int
    high: int
    cut: LogCut | None = None


class EndOfPartition(NamedTuple):
    """Everything before `offset` was polled. The offsets before it may include transaction markers."""

    partition: int
    offset: int


Polled = RawRecord | EndOfPartition | LogCut


class RebalanceListener(Protocol):
    """Receives rebalances and failed commits. The methods are called inside `poll` and `close`."""

    def on_assigned(self, partitions: list[AssignedPartition]) -> list[StartOffset]:
        """Return where to start each partition. They are fetched from there at once."""

    def on_revoked(self, partitions: set[int]) -> None:
        """Commit what is written; afterwards the partitions belong to another member."""

    def on_lost(self, partitions: set[int]) -> None:
        """Commit nothing: the partitions already belong to another member."""

    def on_not_committed(self, partitions: set[int]) -> None:
        """An asynchronous commit of these partitions was refused or failed: commit again those still assigned."""


def new_client(properties: dict[str, Any]) -> Consumer:
    """A Kafka client with these properties; raises `SettingsError` where librdkafka rejects one."""
    return make(Consumer, properties)


class GroupConsumer:
    """Reads the topic as a member of the group, and commits the offsets that it is given."""

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        make_client: Callable[[dict[str, Any]], Consumer] = new_client,
        leave_seconds: float = LEAVE_SECONDS,
        count_unreadable: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._make_client = make_client
        self._topic = settings.topic
        self._topics = topics
        self._leave_seconds = leave_seconds
        self._cooperative = is_cooperative(settings.kafka)
        self._listener: RebalanceListener
        self._positions: dict[int, Position] = {}
        self._rebalances = 0
        self._leaving = False
        self._errors = QuietErrors()
        self.commits = CommitCounts()
        self._unreadable = UnreadableHeaders(count_unreadable)
        properties = {
            **consumer_properties(settings, member_defaults(settings.kafka)),
            "group.id": settings.group_id,
            "error_cb": self._errors,
            "on_commit": self._on_commit,
        }
        self._consumer = make_client(properties)

    @property
    def rebalances(self) -> int:
        """How many times partitions were assigned, revoked or lost."""
        return self._rebalances

    def subscribe(self, listener: RebalanceListener) -> None:
        """Join the group. `listener` receives every rebalance. Does not block."""
        self._listener = listener
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    # -- reading ----------------------------------------------------------------------------------------------------

    def poll(self, limit: int, timeout: float) -> list[Polled]:
        """Return up to `limit` records as soon as there is one, or nothing after `timeout` seconds.

        After a `LogCut` nothing comes from its partition until `seek`; finding it may block for the broker's answer.
        Raises `OffsetsLostError` or `BrokerError`. An unreachable broker raises nothing: librdkafka tries again.
        """
        before = self._rebalances
        try:
            first = self._consumer.poll(timeout)
            messages = [] if first is None else [first]
            # a message that `poll` returns came after the rebalances that ran in it
            known = self._rebalances
            if first is not None and limit > 1 and known == before:
                messages += self._consumer.consume(limit - 1, 0)
        except KafkaException as error:
            raise broker_error("polling", error) from None
        if self._errors.fatal is not None:
            raise broker_error("the broker refuses", self._errors.fatal)
        if not messages:
            return []
        if self._rebalances != known:
            messages = self._without_doubtful(messages, known)
        return list(self._translate(messages))

    def _translate(self, messages: Iterable[Message]) -> Iterator[Polled]:
        topic, positions, unreadable = self._topic, self._positions, self._unreadable
        for message in messages:
            if message.error() is not None:
                yield from self._event(message)
                continue
            partition, offset = message.partition(), message.offset()
            # never None in a message without an error; the stubs do not know
            assert partition is not None  # noqa: S101
            assert offset is not None  # noqa: S101
            position = positions.get(partition)
            if position is None or offset < position.offset:
                continue  # fetched before a seek or a rebalance: it is read, or was read, at its own position
            epoch = message.leader_epoch()
            if epoch != position.epoch and epoch is not None and position.turn(offset, epoch):
                cut = self._cut(partition, position, Place(position.known, position.known_epoch))
                if cut is not None:
                    yield cut
                    continue
            position.offset = offset + 1
            yield raw_record(message, topic, partition, offset, position.log_id, unreadable)

    def _event(self, message: Message) -> Iterator[EndOfPartition | LogCut]:
        error = message.error()
        if error is None:
            return
        meaning, partition, offset = meaning_of(error), message.partition(), message.offset()
        if meaning is Meaning.END_OF_PARTITION and partition is not None and offset is not None:
            position = self._positions.get(partition)
            if position is not None and offset >= position.offset:
                position.offset = offset
                yield EndOfPartition(partition, offset)
        elif meaning is Meaning.OFFSETS_LOST:
            yield from self._lost(partition, offset, error)
        elif meaning is Meaning.REFUSED:
            raise broker_error("consuming", error)
        elif meaning is Meaning.TOPIC_REMOVED:
            raise OffsetsLostError(f"the topic {self._topic} or a partition of it is gone: {describe(error)}")
        else:
            logger.warning("Kafka: %s; the client continues", describe(error))

    def _lost(self, partition: int | None, offset: int | None, error: KafkaError) -> Iterator[LogCut]:
        """The client has stopped to fetch a partition at `offset`, which its log does not have.

        Raises `OffsetsLostError` unless the log was cut, or the error is from before a seek.
        """
        position = self._positions.get(partition) if partition is not None else None
        if partition is None or position is None or position.has_left:
            return
        if position.epoch != NO_EPOCH:
            cut = self._cut(partition, position, Place(position.offset, position.epoch))
            if cut is not None:
                yield cut
                return
            low, _ = self._topics.watermarks(self._topic, [partition])[partition]
            is_there = low <= position.offset
        else:
            is_there = offset not in (None, position.offset)
        if not is_there:
            raise OffsetsLostError(self._lost_text(partition, error))
        self._seek(self._at(partition, position.offset, position.epoch))

    def _cut(self, partition: int, position: Position, read: Place) -> LogCut | None:
        """Ask whether the log still has what was read up to a place; if not, take nothing more until a seek."""
        cut = next(iter(self._find_cuts({partition: read})), None)
        if cut is not None:
            position.leave()
        return cut

    def _find_cuts(self, places: Mapping[int, Place]) -> list[LogCut]:
        return find_cuts(self._settings, places, self._make_client)

    def compare(self, partition: int, known: int, known_epoch: int) -> LogCut | None:
        """Compare with the database, which has read up to `known`, in `known_epoch`; None if the log still has that.

        Blocks for the broker's answer where the records that were polled leave a doubt; raises `BrokerError`.
        """
        position = self._positions.get(partition)
        if position is None or not position.expect(known, known_epoch):
            return None
        return self._cut(partition, position, Place(known, known_epoch))

    def epoch_before(self, partition: int, offset: int) -> int:
        """The leader epoch of the record before `offset`, which was polled; `NO_EPOCH` if it is not known."""
        position = self._positions.get(partition)
        return NO_EPOCH if position is None else position.epoch_before(offset)

    def _lost_text(self, partition: int | None, error: KafkaError) -> str:
        position = self._positions.get(partition) if partition is not None else None
        return (
            f"{self._topic}[{partition}] no longer has offset {position.offset if position else None}, which is the "
            f"next one to read: {error.str()}. Nothing was committed. To accept the loss and continue with the first "
            "offset there is: --on-lost-offsets earliest"
        )

    def _without_doubtful(self, messages: Sequence[Message], rebalance: int) -> list[Message]:
        """Read again what came of partitions that were assigned after `rebalance`, while `messages` were collected.

        Such a message may be from before the assignment, and so from behind the offset to start with. A seek costs up
        to a second: librdkafka fetches again at the next tick of a broker's thread.
        """
        fresh = {number for number, position in self._positions.items() if position.rebalance > rebalance}
        for partition in fresh & {message.partition() for message in messages}:
            position = self._positions[partition]
            self._seek(self._at(partition, position.offset, position.start_epoch))
        return [message for message in messages if message.partition() not in fresh]

    def seek(self, start: StartOffset) -> None:
        """Continue at `start`, whose partition is assigned to this member. Raises `BrokerError`."""
        self._set_position(start)
        self._seek(self._at(start.log.partition, start.offset, start.epoch))

    def _seek(self, place: TopicPartition) -> None:
        doing = f"seeking {self._topic}[{place.partition}] to {place.offset}"
        try:
            self._consumer.seek(place)
        except KafkaException as error:
            if not _has_stopped(error):
                raise broker_error(doing, error) from None
            self._fetch_again(doing, place)

    def _fetch_again(self, doing: str, place: TopicPartition) -> None:
        """Seek a partition that the client has stopped to fetch because its log lost the next offset."""
        try:
            if self._cooperative:
                self._consumer.incremental_unassign([place])
                self._consumer.incremental_assign([place])
            else:
                others = [self._at(n, item.offset, item.epoch) for n, item in self._positions.items()]
                self._consumer.assign([place, *(item for item in others if item.partition != place.partition)])
        except KafkaException as error:
            raise broker_error(doing, error) from None

    def _at(self, partition: int, offset: int, epoch: int, metadata: str = "") -> TopicPartition:
        return TopicPartition(self._topic, partition, offset, metadata, epoch)

    def _set_position(self, start: StartOffset) -> None:
        self._positions[start.log.partition] = Position.starting(start, self._rebalances)

    def pause(self, partitions: Iterable[int]) -> None:
        """Fetch nothing more from `partitions`; the member keeps them as long as it polls.

        A pause costs a second: after `resume`, librdkafka fetches again at the next tick of a broker's thread.
        """
        self._consumer.pause([TopicPartition(self._topic, partition) for partition in partitions])

    def resume(self, partitions: Iterable[int]) -> None:
        """Fetch from `partitions` again."""
        self._consumer.resume([TopicPartition(self._topic, partition) for partition in partitions])

    # -- committing -------------------------------------------------------------------------------------------------

    def commit(self, offsets: Mapping[Log, int], budget: BudgetState, *, wait: bool) -> bool:
        """Commit exactly these next offsets, with `budget` in the metadata; True unless it is known to have failed.

        With `wait` it blocks for the broker's answer; without, a failure is reported to the listener later. A refusal
        is counted, not raised.
        """
        wanted = [
            self._at(log.partition, offset, self.epoch_before(log.partition, offset), commit_metadata(log, budget))
            for log, offset in offsets.items()
        ]
        try:
            if not wait:
                self._consumer.commit(offsets=wanted, asynchronous=True)
                return True
            done = self._consumer.commit(offsets=wanted, asynchronous=False)
        except KafkaException as error:
            self.commits.failed_with(error_of(error))
            return False
        failed = [item.error for item in done or () if item.error is not None]
        if failed:
            self.commits.failed_with(failed[0])
            return False
        self.commits.succeeded()
        return True

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        failed = {item.partition for item in partitions if error is not None or item.error is not None}
        if not failed:
            self.commits.succeeded()
            return
        self.commits.failed_with(error or next(item.error for item in partitions if item.error is not None))
        self._listener.on_not_committed(failed)

    def committed(self, partitions: Iterable[int]) -> dict[int, CommittedOffset]:
        """What the group has committed, by partition. Blocks for the answer; raises `BrokerError`."""
        return committed(self._consumer, self._topic, partitions, self._errors)

    # -- the topic --------------------------------------------------------------------------------------------------

    def high(self, partition: int) -> int:
        """The high watermark of `partition` in the last fetch; 0 before the first one."""
        marks = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
        return max(0, marks[1]) if marks else 0

    def check_topic(self, topic_id: str | None) -> None:
        """Raise `OffsetsLostError` where the topic no longer has the id `topic_id`. Never blocks.

        A topic that was deleted and created again may have the next offset, with another event: no error reports it.
        Without an assigned partition there is no id to compare with: give None, so that no old answer is kept.
        """
        found = self._topics.watch(self._topic)
        if topic_id is None or found is None or found == topic_id:
            return
        what = f"was made again while it was read: its id was {topic_id} and is {found}" if found else "is gone"
        raise OffsetsLostError(
            f"the topic {self._topic} {what}. Stopped, and nothing more was committed. To accept the loss and continue "
            "with the first offset there is: --on-lost-offsets earliest"
        )

    # -- rebalances -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Leave the group; blocks for 10 s at most. Revocations run inside, and an error in them is raised here.

        librdkafka may block without limit if an assignment arrives while it leaves (its issue 4884). After the limit
        the member stops anyway, and the group takes its partitions back after the session time-out.
        """
        self._leaving = True
        left: Future[None] = Future()
        threading.Thread(target=self._leave_group, args=(left,), name="jobstatus-leave", daemon=True).start()
        if wait_for((left,), self._leave_seconds).done:
            left.result()
            return
        logger.warning(
            "the group was not left within %g s; stopping all the same. Nothing is lost: the group gives the "
            "partitions to other members after the session time-out",
            self._leave_seconds,
        )

    def _leave_group(self, left: Future[None]) -> None:
        try:
            self._consumer.close()
            left.set_result(None)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            left.set_exception(error)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._rebalances += 1
        # an assignment while leaving is given back at once, and the client answers no more questions
        if not partitions or self._leaving:
            return
        found = self._look_up([item.partition for item in partitions])
        starts = self._listener.on_assigned(found)
        # a cut log may not have the offset to start with
        cuts = {item.log.partition: item.cut.end for item in found if item.cut is not None}
        places = ((start.log.partition, start.offset, start.epoch) for start in starts)
        wanted = [self._at(number, cuts.get(number, offset), epoch) for number, offset, epoch in places]
        if self._cooperative:
            consumer.incremental_assign(wanted)
        else:
            consumer.assign(wanted)
        for start in starts:
            self._set_position(start)
        for number in cuts:
            self._positions[number].leave()

    def _look_up(self, partitions: list[int]) -> list[AssignedPartition]:
        topic_id = self._topics.topic_id(self._topic)
        commits = self.committed(partitions)
        watermarks = self._topics.watermarks(self._topic, partitions)
        doubtful = places_in_doubt(self._topics, self._topic, topic_id, commits)
        cuts = {cut.partition: cut for cut in self._find_cuts(doubtful)}
        found = []
        for partition in partitions:
            commit = commits[partition]
            log = Log(self._topic, topic_id, partition, commit.incarnation if commit.topic_id == topic_id else 0)
            found.append(AssignedPartition(log, commit, *watermarks[partition], cuts.get(partition)))
        return found

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._give_up(partitions, self._listener.on_revoked)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._give_up(partitions, self._listener.on_lost)

    def _give_up(self, partitions: list[TopicPartition], report: Callable[[set[int]], None]) -> None:
        self._rebalances += 1
        gone = {item.partition for item in partitions}
        report(gone)
        for partition in gone:
            self._positions.pop(partition, None)


def _has_stopped(error: KafkaException) -> bool:
    inner = error_of(error)
    return inner is not None and inner.code() == KafkaError._STATE
