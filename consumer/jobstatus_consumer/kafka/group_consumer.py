"""The member of the consumer group: the only place that polls, pauses, seeks and commits.

Everything here runs in the Kafka thread, and the rebalance callbacks run inside `poll`. Only the callbacks that come
while the member leaves the group run in a thread of their own; the Kafka thread waits for the end of that thread.

The loop decides which log is read in each partition, and from which offset. This class only keeps the position up to
which it has polled each assigned partition, and the leader epochs up to there.
"""

from __future__ import annotations

import faulthandler
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Any, Final, NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import BudgetState, StartOffset
from jobstatus_consumer.errors import BrokerAwayError, BrokerError, OffsetsLostError
from jobstatus_consumer.kafka.client import (
    QuietErrors,
    broker_error,
    consumer_properties,
    error_of,
    make,
)
from jobstatus_consumer.kafka.commits import CommitCounts, CommittedOffset, commit_metadata
from jobstatus_consumer.kafka.counting import BrokerStates, MemberCounts
from jobstatus_consumer.kafka.divergence import LogCut, Place, find_cuts, places_in_doubt
from jobstatus_consumer.kafka.member_properties import is_cooperative, member_defaults, protocol
from jobstatus_consumer.kafka.offsets import committed
from jobstatus_consumer.kafka.positions import Position
from jobstatus_consumer.kafka.reading import Polled, Reading
from jobstatus_consumer.kafka.renewing import Renewing
from jobstatus_consumer.kafka.topics import Topics
from jobstatus_consumer.records import NO_EPOCH, Log

logger = logging.getLogger("jobstatus.kafka")

AT_ONCE: Final = 50
"""How many messages are taken out of the client at once."""
ENOUGH_BYTES: Final = 1024 * 1024
"""One poll takes no more out of the client after so many bytes, whatever they are in the log."""
LEAVE_SECONDS: Final = 10.0
"""The limit for leaving the group. A commit to an unreachable broker takes 6 s of it."""
BLOCKED_SECONDS: Final = 5.0
"""So much later the process ends, if the thread that waits for that limit cannot run."""


class AssignedPartition(NamedTuple):
    """A partition that was assigned to this member: its log, the group's commit, and the log's watermarks.

    `cut` says that the log no longer has what the group had read; nothing comes from the partition until `seek` then.
    """

    log: Log
    committed: CommittedOffset
    low: int
    high: int
    cut: LogCut | None = None


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
        counts: MemberCounts | None = None,
    ) -> None:
        self._settings = settings
        self._make_client = make_client
        self._topic = settings.topic
        self._topics = topics
        self._leave_seconds = leave_seconds
        self._cooperative = is_cooperative(settings.kafka)
        self._listener: RebalanceListener
        self._counts = counts or MemberCounts()
        self._reading = Reading(settings.topic, self, self._counts.unreadable_headers, group=settings.group_id)
        self._positions = self._reading.positions
        # librdkafka keeps a pause although the partition is lost, and assigned again
        self._paused: set[int] = set()
        self._rebalances = 0
        self._leaving = False
        # since when this client is no member with an assignment, however empty (as `time.monotonic`)
        self.outside_since: float | None = time.monotonic()
        self._broker_assigns = protocol(settings.kafka) == "consumer"
        self._errors = QuietErrors()
        self._commits = CommitCounts(self._counts.commit)
        self.broker_states = BrokerStates()
        properties = {
            **consumer_properties(settings, member_defaults(settings.kafka)),
            "group.id": settings.group_id,
            "error_cb": self._errors,
            "on_commit": self._on_commit,
            "stats_cb": self.broker_states,
        }
        self._clients = Renewing(settings, lambda: make_client(properties))
        self._consumer = self._clients.get()
        self.certificate_expires_at = self._clients.expires_at
        self.has_new_certificates = False
        """whether a broker has accepted new ones, as `check_topic` saw it: this member should end, and join again"""

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

        Fewer are returned where they are large. After a `LogCut` nothing comes from its partition until `seek`; to
        find one may block for the broker's answer. Raises `OffsetsLostError` or `BrokerError`. An unreachable broker
        raises nothing: librdkafka tries again.
        """
        before, reading = self._rebalances, self._reading
        reading.bytes = 0
        # a message that `poll` returns came after the rebalances that ran in it
        messages = self._ask(1, timeout)
        found = list(reading.translate(messages))
        while messages and self._rebalances == before and len(found) < limit and reading.bytes < ENOUGH_BYTES:
            messages = self._ask(min(limit - len(found), AT_ONCE), 0)
            if self._rebalances != before:
                messages, found = self._without_doubtful(messages, found, before)
            found += reading.translate(messages)
        return found

    def _ask(self, limit: int, timeout: float) -> list[Message]:
        try:
            if limit > 1:
                found = self._consumer.consume(limit, timeout)
            else:
                first = self._consumer.poll(timeout)
                found = [] if first is None else [first]
        except KafkaException as error:
            raise broker_error("polling", error) from None
        if self._errors.fatal is not None:
            raise self._refused(self._errors.fatal)
        return found

    def _refused(self, error: KafkaError) -> BrokerError:
        refused = broker_error("the broker refuses", error)
        # with what the files have now, a new member may be let in
        return BrokerAwayError(f"{refused}; a file with a secret has changed") if self._clients.outdated else refused

    def _without_doubtful(
        self, messages: Sequence[Message], found: Sequence[Polled], rebalance: int
    ) -> tuple[list[Message], list[Polled]]:
        """Read again what came of partitions that were assigned after `rebalance`, while `messages` were collected.

        Such a message may be from before the assignment, and so from behind the offset to start with. What was `found`
        before is. A seek costs up to a second: librdkafka fetches again at the next tick of a broker's thread.
        """
        fresh = {number for number, position in self._positions.items() if position.rebalance > rebalance}
        for partition in fresh & {message.partition() for message in messages}:
            position = self._positions[partition]
            self.continue_at(partition, position.start, position.start_epoch)
        kept = [message for message in messages if message.partition() not in fresh]
        return kept, [item for item in found if item.partition not in fresh]

    def seek(self, start: StartOffset) -> None:
        """Continue at `start`, whose partition is assigned to this member. Raises `BrokerError`."""
        self._set_position(start)
        self.continue_at(start.log.partition, start.offset, start.epoch)

    def _set_position(self, start: StartOffset) -> None:
        self._positions[start.log.partition] = Position.starting(start, self._rebalances)

    def continue_at(self, partition: int, offset: int, epoch: int = NO_EPOCH) -> None:
        """Read on at this offset; with the epoch of the record before it, the broker compares its history.

        Raises `BrokerError`.
        """
        place, doing = self._at(partition, offset, epoch), f"seeking {self._topic}[{partition}] to {offset}"
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

    def compare(self, partition: int, known: int, known_epoch: int) -> LogCut | None:
        """Compare with the database, which has read up to `known`, in `known_epoch`; None if the log still has that.

        Blocks for the broker's answer where the records that were polled leave a doubt; raises `BrokerError`.
        """
        return self._reading.compare(partition, Place(known, known_epoch))

    def epoch_before(self, partition: int, offset: int) -> int:
        """The leader epoch of the record before `offset`, which was polled; `NO_EPOCH` if it is not known."""
        return self._reading.epoch_before(partition, offset)

    def find_cuts(self, places: Mapping[int, Place]) -> list[LogCut]:
        """Return the logs that no longer have what was read up to these places. Blocks; raises `BrokerError`."""
        return find_cuts(self._settings, places, self._make_client)

    def first_offset(self, partition: int) -> int:
        """Return the first offset of the log now. Blocks; raises `BrokerError`."""
        return self._topics.watermarks(self._topic, [partition])[partition].low

    def pause(self, partitions: Iterable[int]) -> None:
        """Fetch nothing more from `partitions`; the member keeps them as long as it polls.

        A pause costs a second: after `resume`, librdkafka fetches again at the next tick of a broker's thread.
        """
        numbers = set(partitions)
        self._paused |= numbers
        self._consumer.pause([TopicPartition(self._topic, partition) for partition in numbers])

    def resume(self, partitions: Iterable[int]) -> None:
        """Fetch from `partitions` again."""
        numbers = set(partitions)
        self._paused -= numbers
        self._consumer.resume([TopicPartition(self._topic, partition) for partition in numbers])

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
            self._commits.failed_with(error_of(error))
            return False
        failed = [item.error for item in done or () if item.error is not None]
        if failed:
            self._commits.failed_with(failed[0])
            return False
        self._commits.succeeded()
        return True

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        failed = {item.partition for item in partitions if error is not None or item.error is not None}
        if not failed:
            self._commits.succeeded()
            return
        self._commits.failed_with(error or next(item.error for item in partitions if item.error is not None))
        self._listener.on_not_committed(failed)

    def committed(self, partitions: Iterable[int]) -> dict[int, CommittedOffset]:
        """What the group has committed, by partition. Blocks for the answer; raises `BrokerError`."""
        return committed(self._consumer, self._topic, partitions, self._errors)

    # -- the topic --------------------------------------------------------------------------------------------------

    def high(self, partition: int) -> int:
        """The end of `partition` a few seconds ago, also while it is paused; 0 before the first answer."""
        marks = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
        return max(self._topics.ends.of(partition), marks[1] if marks else 0)

    def check_topic(self, topic_id: str | None) -> None:
        """Look at the topic, its partitions' ends, the membership, certificates; to be called about every second.

        Raise `OffsetsLostError` where the topic no longer has the id `topic_id`. Never blocks.

        A topic that was deleted and created again may have the next offset, with another event: no error reports it.
        Without an assigned partition there is no id to compare with: give None, so that no old answer is kept.
        """
        self._topics.ends.watch(self._positions)
        self._check_membership()
        self.has_new_certificates = self._clients.has_new_certificates
        found = self._topics.watch(self._topic)
        if topic_id is None or found is None or found == topic_id:
            return
        what = f"was made again while it was read: its id was {topic_id} and is {found}" if found else "is gone"
        raise OffsetsLostError(
            f"the topic {self._topic} {what}. Stopped, and nothing more was committed. To accept the loss and continue "
            "with the first offset there is: --on-lost-offsets earliest"
        )

    def _check_membership(self) -> None:
        """Notice that the group has expelled this member: the client then forgets its id.

        The client reports no lost partitions where there were none. Where the broker assigns (KIP-848), a member
        without partitions sees no assignment.
        """
        if not self._consumer.memberid():
            self.outside_since = self.outside_since or time.monotonic()
        elif self._broker_assigns:
            self.outside_since = None

    # -- rebalances -------------------------------------------------------------------------------------------------

    def _count_rebalance(self) -> None:
        self._rebalances += 1
        self._counts.rebalance()

    def close(self) -> None:
        """Leave the group; blocks for 10 s at most. Revocations run inside, and an error in them is raised here.

        librdkafka may block without limit if an assignment arrives while it leaves (its issue 4884). After the limit
        the member stops anyway, and the group takes its partitions back after the session time-out. If librdkafka
        blocks in a callback, it keeps Python's lock, and no other thread runs: then the process ends with code 1.
        """
        self._leaving = True
        left: Future[None] = Future()
        leave = threading.Thread(target=self._leave_group, args=(left,), name="jobstatus-leave", daemon=True)
        # it needs no Python to run; what is written is committed by now
        faulthandler.dump_traceback_later(
            self._leave_seconds + BLOCKED_SECONDS, exit=True, file=sys.__stderr__ or sys.stderr
        )
        try:
            leave.start()
            done = wait_for((left,), self._leave_seconds).done
        finally:
            faulthandler.cancel_dump_traceback_later()
        if done:
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
        self._count_rebalance()
        # an assignment while leaving is given back at once, and the client answers no more questions
        if partitions and not self._leaving:
            self._take(consumer, partitions)
        self.outside_since = None

    def _take(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Find out where to start, and have the client fetch from there."""
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
        if still_paused := self._paused & {start.log.partition for start in starts}:
            self.resume(still_paused)
        for start in starts:
            self._set_position(start)
        for number in cuts:
            self._positions[number].leave()

    def _look_up(self, partitions: list[int]) -> list[AssignedPartition]:
        topic_id = self._topics.topic_id(self._topic)
        commits = self.committed(partitions)
        watermarks = self._topics.watermarks(self._topic, partitions)
        doubtful = places_in_doubt(self._topics, self._topic, topic_id, commits)
        cuts = {cut.partition: cut for cut in self.find_cuts(doubtful)}
        found = []
        for partition in partitions:
            commit = commits[partition]
            log = Log(self._topic, topic_id, partition, commit.incarnation if commit.topic_id == topic_id else 0)
            found.append(AssignedPartition(log, commit, *watermarks[partition], cuts.get(partition)))
        return found

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if not self._cooperative:
            self.outside_since = time.monotonic()
        self._give_up(partitions, self._listener.on_revoked)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.outside_since = time.monotonic()
        self._give_up(partitions, self._listener.on_lost)

    def _give_up(self, partitions: list[TopicPartition], report: Callable[[set[int]], None]) -> None:
        self._count_rebalance()
        gone = {item.partition for item in partitions}
        report(gone)
        for partition in gone:
            self._positions.pop(partition, None)


def _has_stopped(error: KafkaException) -> bool:
    inner = error_of(error)
    return inner is not None and inner.code() == KafkaError._STATE
