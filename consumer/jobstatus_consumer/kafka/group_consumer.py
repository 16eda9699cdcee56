"""The group member: the one place that polls, pauses, seeks and commits.

Everything here runs in the Kafka thread; the callbacks of a rebalance run inside `poll`. Only those that come while it
leaves run in a thread of their own, for whose end the Kafka thread waits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core.dead_letters import BudgetState
from jobstatus_consumer.core.start_offsets import Start
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
from jobstatus_consumer.kafka.messages import Meaning, meaning_of, raw_record
from jobstatus_consumer.kafka.offsets import committed
from jobstatus_consumer.kafka.topics import Topics
from jobstatus_consumer.records import Log, RawRecord

logger = logging.getLogger("jobstatus.kafka")

DEFAULTS: Final[Mapping[str, Any]] = {
    # a rolling deployment does not stop the members that stay, and every broker since 2.4 knows it
    "partition.assignment.strategy": "cooperative-sticky",
    # with the default of 1000 a fast consumer starves when its queue runs low
    "fetch.queue.backoff.ms": 20,
    # bounds the memory of a backlog, whatever its size
    "queued.max.messages.kbytes": 16_384,
    "allow.auto.create.topics": "false",
}

LEAVE_SECONDS: Final = 10.0
"""For leaving the group. A commit to a broker that is away takes 6 s of it."""


class Assigned(NamedTuple):
    """A partition that this member got, with what the broker knows of it."""

    log: Log
    committed: CommittedOffset
    low: int
    high: int


class EndOfPartition(NamedTuple):
    """Everything before `offset` has been polled; there may be markers in it that are no records."""

    partition: int
    offset: int


class Handler(Protocol):
    """Whom a rebalance is told to, inside `poll` or `close`."""

    def on_assigned(self, partitions: list[Assigned]) -> list[Start]:
        """Where to start each; the partitions stay paused until they are resumed."""

    def on_revoked(self, partitions: set[int]) -> None:
        """Commit what is safe: after this the partitions belong to somebody else."""

    def on_lost(self, partitions: set[int]) -> None:
        """They belong to somebody else already: commit nothing."""

    def on_not_committed(self, partitions: set[int]) -> None:
        """An asynchronous commit of these was refused or failed: commit again what is still ours."""


class GroupConsumer:
    """The topic, read as a member of the group, in raw records with explicit commits."""

    def __init__(self, settings: Settings, topics: Topics, handler: Handler) -> None:
        self._topic = settings.topic
        self._topics = topics
        self._handler = handler
        self._cooperative = _is_cooperative(settings.kafka)
        self._positions: dict[int, int] = {}
        self._logs: dict[int, Log] = {}
        self._log_ids: dict[int, str] = {}
        self._rebalances = 0
        self._leaving = False
        self._errors = QuietErrors()
        self.commits = CommitCounts()
        properties = {
            **consumer_properties(settings, member_defaults(settings.kafka)),
            "group.id": settings.group_id,
            "error_cb": self._errors,
            "on_commit": self._on_commit,
        }
        self._consumer = make(Consumer, properties)

    @property
    def rebalances(self) -> int:
        """How many times partitions came or went."""
        return self._rebalances

    def subscribe(self) -> None:
        """Join the group."""
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def poll(self, limit: int, timeout: float) -> list[RawRecord | EndOfPartition]:
        """Up to `limit` records, as soon as there is one, or nothing after `timeout` seconds.

        Raises `OffsetsLostError` or `BrokerError`; a broker that is away raises nothing: librdkafka goes on trying.
        """
        before = self._rebalances
        try:
            first = self._consumer.poll(timeout)
            messages = [] if first is None else [first]
            if first is not None and limit > 1:
                messages += self._consumer.consume(limit - 1, 0)
        except KafkaException as error:
            raise broker_error("polling", error) from None
        if self._errors.fatal is not None:
            raise broker_error("the broker refuses", self._errors.fatal)
        if not messages:
            return []
        if self._rebalances != before:
            self._give_back(messages)
            return []
        return list(self._translate(messages))

    def _translate(self, messages: Iterable[Message]) -> Iterator[RawRecord | EndOfPartition]:
        topic, positions, log_ids = self._topic, self._positions, self._log_ids
        for message in messages:
            if message.error() is not None:
                yield from self._event(message)
                continue
            partition, offset = message.partition(), message.offset()
            # never None in a message without an error; the stubs do not know
            assert partition is not None  # noqa: S101
            assert offset is not None  # noqa: S101
            if offset < positions.get(partition, offset + 1):
                continue  # fetched before a seek or a rebalance: it comes, or has come, at its own place
            positions[partition] = offset + 1
            yield raw_record(message, topic, partition, offset, log_ids[partition])

    def _event(self, message: Message) -> Iterator[EndOfPartition]:
        error = message.error()
        if error is None:
            return
        meaning, partition, offset = meaning_of(error), message.partition(), message.offset()
        if meaning is Meaning.END_OF_PARTITION and partition is not None and offset is not None:
            if partition in self._positions:
                self._positions[partition] = max(self._positions[partition], offset)
                yield EndOfPartition(partition, offset)
        elif meaning is Meaning.OFFSETS_LOST:
            raise OffsetsLostError(self._lost_text(partition, error))
        elif meaning is Meaning.REFUSED:
            raise broker_error("consuming", error)
        elif meaning is Meaning.TOPIC_REMOVED:
            raise OffsetsLostError(f"the topic {self._topic} or a partition of it is gone: {describe(error)}")
        else:
            logger.warning("Kafka: %s; the client goes on", describe(error))

    def _lost_text(self, partition: int | None, error: KafkaError) -> str:
        position = self._positions.get(partition) if partition is not None else None
        return (
            f"{self._topic}[{partition}] no longer has offset {position}, which comes next: {error.str()}. "
            "Nothing was committed. To accept the loss and go on with what is there: --on-lost-offsets earliest"
        )

    def _give_back(self, messages: Iterable[Message]) -> None:
        """Seek back to before `messages`: a rebalance ran while they were fetched, and theirs may have gone."""
        for partition in {message.partition() for message in messages}:
            if partition is not None and partition in self._positions:
                self.seek(Start(self._logs[partition], self._positions[partition]))

    def seek(self, start: Start) -> None:
        """Go on at `start`, of which the partition is one of ours."""
        self._place(start)
        partition, offset = start.log.partition, start.offset
        try:
            self._consumer.seek(TopicPartition(self._topic, partition, offset))
        except KafkaException as error:
            raise broker_error(f"seeking {self._topic}[{partition}] to {offset}", error) from None

    def pause(self, partitions: Iterable[int]) -> None:
        """Fetch nothing more from `partitions`, but stay a member."""
        self._consumer.pause([TopicPartition(self._topic, partition) for partition in partitions])

    def resume(self, partitions: Iterable[int]) -> None:
        """Fetch from `partitions` again."""
        self._consumer.resume([TopicPartition(self._topic, partition) for partition in partitions])

    def commit(self, offsets: Mapping[int, int], budget: BudgetState, *, wait: bool) -> bool:
        """Commit just these offsets; True unless it is known to have failed. A refusal is counted, not raised.

        `budget` is saved beside them.
        """
        wanted = [
            TopicPartition(self._topic, partition, offset, metadata=commit_metadata(self._logs[partition], budget))
            for partition, offset in offsets.items()
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
        else:
            self.commits.succeeded()
        return not failed

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        failed = {item.partition for item in partitions if error is not None or item.error is not None}
        if not failed:
            self.commits.succeeded()
            return
        self.commits.failed_with(error or next(item.error for item in partitions if item.error is not None))
        self._handler.on_not_committed(failed)

    def committed(self, partitions: Iterable[int]) -> dict[int, CommittedOffset]:
        """What the group has committed, by partition."""
        return committed(self._consumer, self._topic, partitions, self._errors)

    def high(self, partition: int) -> int:
        """The offset after the last one in `partition`, as the last fetch told; 0 before the first."""
        marks = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
        return max(0, marks[1]) if marks else 0

    def watch(self) -> None:
        """Ask, without waiting, whether the topic is still the one that was assigned; raises where it is not.

        A topic that was made again may have the offset that comes next, of another history: no error would tell.
        """
        known = next(iter(self._logs.values()), None)
        found = self._topics.watch(self._topic)
        if known is None or found is None or found == known.topic_id:
            return
        what = f"was made again while it was read: its id was {known.topic_id} and is {found}" if found else "is gone"
        raise OffsetsLostError(
            f"the topic {self._topic} {what}. Stopped, and nothing more was committed. To accept the loss and go on "
            "with what is there: --on-lost-offsets earliest"
        )

    def close(self) -> None:
        """Leave the group, within a bound; the callbacks of the revocation run inside, and what they raise is raised.

        librdkafka can wait for ever where it tells of an assignment while it leaves (its issue 4884). It is given up
        then: the group takes its partitions back after the session's time-out, as from a member that died.
        """
        self._leaving = True
        raised: list[BaseException] = []
        thread = threading.Thread(target=self._leave_group, args=(raised,), name="jobstatus-leave", daemon=True)
        thread.start()
        thread.join(LEAVE_SECONDS)
        if thread.is_alive():
            logger.warning(
                "the group was not left within %g s; stopping all the same. Nothing is lost: it gives the partitions "
                "to others when the session has timed out",
                LEAVE_SECONDS,
            )
        if raised:
            raise raised[0]

    def _leave_group(self, raised: list[BaseException]) -> None:
        try:
            self._consumer.close()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            raised.append(error)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._rebalances += 1
        # told while leaving: they are given back at once, and the client answers no question any more
        if not partitions or self._leaving:
            return
        found = self._facts([item.partition for item in partitions])
        starts = self._handler.on_assigned(found)
        wanted = [TopicPartition(self._topic, start.log.partition, start.offset) for start in starts]
        if self._cooperative:
            consumer.incremental_assign(wanted)
        else:
            consumer.assign(wanted)
        for start in starts:
            self._place(start)
        self.pause(start.log.partition for start in starts)

    def _place(self, start: Start) -> None:
        partition = start.log.partition
        self._logs[partition] = start.log
        self._log_ids[partition] = start.log.id
        self._positions[partition] = start.offset

    def _facts(self, partitions: list[int]) -> list[Assigned]:
        topic_id = self._topics.topic_id(self._topic)
        commits = self.committed(partitions)
        bounds = self._topics.bounds(self._topic, partitions)
        found = []
        for partition in partitions:
            known = commits[partition]
            log = Log(self._topic, topic_id, partition, known.incarnation if known.topic_id == topic_id else 0)
            found.append(Assigned(log, known, *bounds[partition]))
        return found

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._leave(partitions, self._handler.on_revoked)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._leave(partitions, self._handler.on_lost)

    def _leave(self, partitions: list[TopicPartition], tell: Any) -> None:
        self._rebalances += 1
        gone = {item.partition for item in partitions}
        tell(gone)
        for partition in gone:
            self._positions.pop(partition, None)


def member_defaults(properties: Mapping[str, str]) -> dict[str, Any]:
    """What a member has unless its user says otherwise; with KIP-848 the broker assigns, and a strategy is refused."""
    if properties.get("group.protocol", "classic").lower() == "consumer":
        return {name: value for name, value in DEFAULTS.items() if name != "partition.assignment.strategy"}
    return dict(DEFAULTS)


def _is_cooperative(properties: Mapping[str, str]) -> bool:
    if properties.get("group.protocol", "classic").lower() == "consumer":
        return True
    strategy = properties.get("partition.assignment.strategy", DEFAULTS["partition.assignment.strategy"])
    return "cooperative" in strategy
