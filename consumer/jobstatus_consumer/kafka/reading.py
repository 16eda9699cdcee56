"""What the member has polled of its partitions: the next offset of each, and messages translated to records."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol, TypeAlias

from confluent_kafka import KafkaError, Message

from jobstatus_consumer.errors import BrokerError, OffsetsLostError
from jobstatus_consumer.kafka.client import describe
from jobstatus_consumer.kafka.divergence import LogCut, Place
from jobstatus_consumer.kafka.messages import (
    Meaning,
    UnreadableHeaders,
    damaged_text,
    meaning_of,
    raw_record,
    unexpanded_record,
)
from jobstatus_consumer.kafka.positions import Position
from jobstatus_consumer.kafka.rights import refusal, right_to_read
from jobstatus_consumer.records import NO_EPOCH, RawRecord, record_size

logger = logging.getLogger("jobstatus.kafka")


class EndOfPartition(NamedTuple):
    """Everything before `offset` was polled. The offsets before it may include transaction markers."""

    partition: int
    offset: int


Polled: TypeAlias = RawRecord | EndOfPartition | LogCut


class BrokerPort(Protocol):
    """What is asked of the client and the brokers about a partition; `GroupConsumer` answers."""

    def continue_at(self, partition: int, offset: int, epoch: int = NO_EPOCH) -> None:
        """Read on at this offset; with the epoch of the record before it, the broker compares its history."""

    def find_cuts(self, places: Mapping[int, Place]) -> list[LogCut]:
        """Return the logs that no longer have what was read up to these places. Blocks; raises `BrokerError`."""

    def first_offset(self, partition: int) -> int:
        """Return the first offset of the log now. Blocks; raises `BrokerError`."""


class Reading:
    """The positions by partition."""

    def __init__(
        self, topic: str, broker: BrokerPort, count_unreadable: Callable[[int], object], *, group: str = ""
    ) -> None:
        self._topic = topic
        self._group = group
        self._broker = broker
        self._unreadable = UnreadableHeaders(count_unreadable)
        # partitions in which a record of the messages at hand was skipped
        self._skipped: set[int] = set()
        self.positions: dict[int, Position] = {}
        self.bytes = 0
        """Of the records translated so far; the caller sets it to zero."""

    def translate(self, messages: Iterable[Message]) -> Iterator[Polled]:
        """Yield the records, and move the positions behind them.

        After a `LogCut` nothing comes from its partition until its position is set anew. Raises `OffsetsLostError` or
        `BrokerError`.
        """
        topic, positions, unreadable = self._topic, self.positions, self._unreadable
        self._skipped.clear()
        size = 0
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
            record = raw_record(message, topic, partition, offset, position.log_id, unreadable)
            size += record_size(record) if record.headers else len(record.value or b"")
            yield record
        self.bytes += size

    def _event(self, message: Message) -> Iterator[Polled]:
        error = message.error()
        if error is None:
            return
        meaning, partition, offset = meaning_of(error), message.partition(), message.offset()
        if meaning is Meaning.END_OF_PARTITION and partition is not None and offset is not None:
            position = self.positions.get(partition)
            if position is not None and offset >= position.offset:
                position.offset = offset
                yield EndOfPartition(partition, offset)
        elif meaning is Meaning.NOT_EXPANDED and partition is not None and offset is not None:
            yield from self._skip(partition, offset)
        elif meaning is Meaning.OFFSETS_LOST:
            yield from self._lost(partition, offset, error)
        else:
            self._raise(meaning, error, message)

    def _raise(self, meaning: Meaning, error: KafkaError, message: Message) -> None:
        """Raise what an error means; one that passes is logged."""
        if meaning is Meaning.DAMAGED:
            raise BrokerError(damaged_text(f"{self._topic}[{message.partition()}]", message))
        if meaning is Meaning.REFUSED:
            raise refusal("consuming", error, right_to_read(error, self._topic, self._group))
        if meaning is Meaning.TOPIC_REMOVED:
            raise OffsetsLostError(f"the topic {self._topic} or a partition of it is gone: {describe(error)}")
        logger.warning("Kafka: %s; the client continues", describe(error))

    def _lost(self, partition: int | None, offset: int | None, error: KafkaError) -> Iterator[LogCut]:
        """The client has stopped to fetch a partition at `offset`, which its log does not have.

        Raises `OffsetsLostError` unless the log was cut, or the error is from before a seek.
        """
        position = self.positions.get(partition) if partition is not None else None
        if partition is None or position is None or position.has_left:
            return
        if position.epoch != NO_EPOCH:
            cut = self._cut(partition, position, Place(position.offset, position.epoch))
            if cut is not None:
                yield cut
                return
            is_there = self._broker.first_offset(partition) <= position.offset
        else:
            is_there = offset not in (None, position.offset)
        if not is_there:
            raise OffsetsLostError(self._lost_text(partition, error))
        self._broker.continue_at(partition, position.offset, position.epoch)

    def _cut(self, partition: int, position: Position, read: Place) -> LogCut | None:
        """Ask whether the log still has what was read up to a place; if not, take nothing more until a seek."""
        cut = next(iter(self._broker.find_cuts({partition: read})), None)
        if cut is not None:
            position.leave()
        return cut

    def compare(self, partition: int, known: Place) -> LogCut | None:
        """Compare with the place up to which the database has read; None if the log still has that.

        Blocks for the broker's answer where the records that were polled leave a doubt; raises `BrokerError`.
        """
        position = self.positions.get(partition)
        if position is None or not position.expect(*known):
            return None
        cut = self._cut(partition, position, known)
        if cut is None:
            position.accept(known_epoch=known.epoch)
        return cut

    def epoch_before(self, partition: int, offset: int) -> int:
        """The leader epoch of the record before `offset`, which was polled; `NO_EPOCH` if it is not known."""
        position = self.positions.get(partition)
        return NO_EPOCH if position is None else position.epoch_before(offset)

    def _lost_text(self, partition: int | None, error: KafkaError) -> str:
        position = self.positions.get(partition) if partition is not None else None
        return (
            f"{self._topic}[{partition}] no longer has offset {position.offset if position else None}, which is the "
            f"next one to read: {error.str()}. Nothing was committed. To accept the loss and continue with the first "
            "offset there is: --on-lost-offsets earliest"
        )

    def _skip(self, partition: int, batch: int) -> Iterator[RawRecord]:
        """Go on behind the next record, which is in a batch that the client cannot expand and asks for without end."""
        position = self.positions.get(partition)
        # the client may report one batch twice before the seek below takes effect
        if position is None or position.has_left or partition in self._skipped:
            return
        self._skipped.add(partition)
        offset = max(batch, position.offset)
        position.offset = offset + 1
        self._broker.continue_at(partition, offset + 1)
        yield unexpanded_record(self._topic, partition, offset, position.log_id)
