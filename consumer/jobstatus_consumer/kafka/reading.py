"""What the member has polled of its partitions: the next offset of each, and messages translated to records."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from confluent_kafka import KafkaError, Message

from jobstatus_consumer.errors import BrokerError, OffsetsLostError
from jobstatus_consumer.kafka.client import broker_error, describe
from jobstatus_consumer.kafka.messages import (
    Meaning,
    UnreadableHeaders,
    damaged_text,
    meaning_of,
    raw_record,
    unexpanded_record,
)
from jobstatus_consumer.records import RawRecord, record_size

logger = logging.getLogger("jobstatus.kafka")


class EndOfPartition(NamedTuple):
    """Everything before `offset` was polled. The offsets before it may include transaction markers."""

    partition: int
    offset: int


@dataclass(slots=True)
class Position:
    """Up to where an assigned partition was polled: `offset` is the next one. Each record carries the `log_id`.

    `rebalance` is the number of the rebalance that assigned the partition.
    """

    log_id: str
    offset: int
    rebalance: int


class Reading:
    """The positions by partition. `seek` is called to read on at another offset than the next one."""

    def __init__(
        self, topic: str, seek: Callable[[int, int], object], count_unreadable: Callable[[int], object]
    ) -> None:
        self._topic = topic
        self._seek = seek
        self._unreadable = UnreadableHeaders(count_unreadable)
        # partitions in which a record of the messages at hand was skipped
        self._skipped: set[int] = set()
        self.positions: dict[int, Position] = {}
        self.bytes = 0
        """Of the records translated so far; the caller sets it to zero."""

    def translate(self, messages: Iterable[Message]) -> Iterator[RawRecord | EndOfPartition]:
        """Yield the records, and move the positions behind them. Raises `OffsetsLostError` or `BrokerError`."""
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
            position.offset = offset + 1
            record = raw_record(message, topic, partition, offset, position.log_id, unreadable)
            size += record_size(record) if record.headers else len(record.value or b"")
            yield record
        self.bytes += size

    def _event(self, message: Message) -> Iterator[RawRecord | EndOfPartition]:
        error = message.error()
        if error is None:
            return
        meaning, partition, offset = meaning_of(error), message.partition(), message.offset()
        if meaning is Meaning.END_OF_PARTITION and partition is not None and offset is not None:
            position = self.positions.get(partition)
            if position is not None:
                position.offset = max(position.offset, offset)
                yield EndOfPartition(partition, offset)
        elif meaning is Meaning.NOT_EXPANDED and partition is not None and offset is not None:
            yield from self._skip(partition, offset)
        else:
            self._raise(meaning, error, message)

    def _raise(self, meaning: Meaning, error: KafkaError, message: Message) -> None:
        """Raise what an error means; one that passes is logged."""
        partition = message.partition()
        if meaning is Meaning.OFFSETS_LOST:
            raise OffsetsLostError(self._lost_text(partition, error))
        if meaning is Meaning.DAMAGED:
            raise BrokerError(damaged_text(f"{self._topic}[{partition}]", message))
        if meaning is Meaning.REFUSED:
            raise broker_error("consuming", error)
        if meaning is Meaning.TOPIC_REMOVED:
            raise OffsetsLostError(f"the topic {self._topic} or a partition of it is gone: {describe(error)}")
        logger.warning("Kafka: %s; the client continues", describe(error))

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
        # the client may have reported the same batch twice before it was told to go on
        if position is None or partition in self._skipped:
            return
        self._skipped.add(partition)
        offset = max(batch, position.offset)
        position.offset = offset + 1
        self._seek(partition, offset + 1)
        yield unexpanded_record(self._topic, partition, offset, position.log_id)
