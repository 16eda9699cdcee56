"""A bounded read of a topic without joining a group: partitions are assigned by number, from offset to offset.

Only a named replay commits anything: its checkpoint, in a group that nothing else uses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from jobstatus_consumer.config import Settings
from jobstatus_consumer.core import Watermarks
from jobstatus_consumer.errors import BrokerError, OffsetsLostError, StartError
from jobstatus_consumer.kafka.client import (
    ANSWER_SECONDS,
    FETCH_DEFAULTS,
    QuietErrors,
    ask,
    broker_error,
    consumer_properties,
    describe,
    make,
)
from jobstatus_consumer.kafka.commits import checkpoint_fields, checkpoint_metadata
from jobstatus_consumer.kafka.messages import (
    Meaning,
    UnreadableHeaders,
    damaged_text,
    meaning_of,
    raw_record,
    unexpanded_record,
)
from jobstatus_consumer.kafka.offsets import ask_committed, commit
from jobstatus_consumer.kafka.rights import refusal, right_to_read
from jobstatus_consumer.kafka.topics import Topics, unfit
from jobstatus_consumer.records import RawRecord

AT_ONCE: Final = 2000
"""How many records a chunk has at most."""
SILENCE_SECONDS: Final = 60.0
"""How long the broker may send nothing, neither a record nor the end of a partition."""
STEP_SECONDS: Final = 0.1
"""How long one poll may take; between two polls a stop is noticed."""


class Checkpoint(NamedTuple):
    """Where a named replay was: the next offset of each partition, and the fields that it committed beside them."""

    offsets: Mapping[int, int]
    fields: Mapping[str, Any]


class RangeReader:
    """Reads ranges of offsets of one topic. `positions` has the next offset of each partition after the last chunk.

    The constructor asks the broker, so it blocks; it raises `StartError` for a topic that must not be read, and
    `BrokerError`. `make_client` makes the library's client of its properties, and `fetch` are those that say how far it
    reads ahead.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        *,
        topic: str = "",
        group: str = "",
        make_client: Callable[[dict[str, Any]], Consumer] = Consumer,
        silence_seconds: float = SILENCE_SECONDS,
        fetch: Mapping[str, Any] = FETCH_DEFAULTS,
    ) -> None:
        self.topic = topic or settings.topic
        self._topics = topics
        self._silence_seconds = silence_seconds
        self._fetch = fetch
        self._errors = QuietErrors()
        self._unreadable = UnreadableHeaders()
        self._group = group
        trouble = unfit(topics.describe(self.topic), self.topic)
        if trouble:
            raise StartError(trouble)
        self.topic_id = topics.topic_id(self.topic)
        self.partitions = topics.partitions(self.topic)
        self.positions: dict[int, int] = {}
        self._consumer = make(make_client, self._properties(settings, group))
        self._closed = False

    def _properties(self, settings: Settings, group: str) -> dict[str, Any]:
        properties = {
            **consumer_properties(settings, self._fetch),
            # librdkafka needs a group id; no group is made of it without a subscription and without a commit
            "group.id": group or f"{settings.group_id}.reader",
            "error_cb": self._errors,
        }
        properties.pop("partition.assignment.strategy", None)
        return properties

    def __enter__(self) -> RangeReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._consumer.close()

    def watermarks(self) -> dict[int, Watermarks]:
        """Return the watermarks of each partition now. Blocks; raises `BrokerError`."""
        return self._topics.watermarks(self.topic, self.partitions)

    def first_at(self, milliseconds: int) -> Mapping[int, int]:
        """Return each partition's first offset at or after the time since 1970-01-01 UTC, or its end if there is none.

        Blocks; raises `BrokerError`.
        """
        wanted = [TopicPartition(self.topic, number, milliseconds) for number in self.partitions]

        def question() -> dict[int, int]:
            found = self._consumer.offsets_for_times(wanted, timeout=ANSWER_SECONDS)
            for item in found:
                if item.error is not None:
                    raise KafkaException(item.error)
            return {item.partition: item.offset for item in found}

        found = ask("asking for the offsets of a time", question, self._errors)
        # the broker answers -1 for "nothing is at or after this time"
        ends = self.watermarks() if any(offset < 0 for offset in found.values()) else {}
        return {number: ends[number].high if offset < 0 else offset for number, offset in found.items()}

    def read(
        self, ranges: Sequence[tuple[int, int, int]], log_ids: Mapping[int, str], stop: Callable[[], bool]
    ) -> Iterator[list[RawRecord]]:
        """Yield the records of `ranges` (partition, start, end) in chunks, each partition in order, until `stop()`.

        Blocks. Raises `OffsetsLostError` if retention removes the next record or the topic is made again, and
        `BrokerError` if the broker refuses or sends nothing for a minute.
        """
        ends = {number: end for number, start, end in ranges if start < end}
        self.positions = {number: start for number, start, _ in ranges}
        self._learn_leaders()
        self._consumer.assign([TopicPartition(self.topic, n, self.positions[n]) for n in ends])
        heard = time.monotonic()
        try:
            while ends and not stop():
                messages = self._consume()
                if messages:
                    heard = time.monotonic()
                elif time.monotonic() - heard > self._silence_seconds:
                    raise BrokerError(f"the broker has given nothing of {self.topic} for {self._silence_seconds:.0f} s")
                chunk = self._translate(messages, ends, log_ids)
                if chunk:
                    yield chunk
                self._watch()
        finally:
            # a traceback keeps this generator alive, even after the reader was closed
            if not self._closed:
                self._consumer.unassign()

    def _learn_leaders(self) -> None:
        """Ask for the partitions' leaders: by itself librdkafka does so up to a second after an assignment by hand."""
        ask(
            f"asking who leads {self.topic}",
            lambda: self._consumer.list_topics(self.topic, timeout=ANSWER_SECONDS),
            self._errors,
        )

    def _consume(self) -> list[Message]:
        try:
            first = self._consumer.poll(STEP_SECONDS)
            messages = [] if first is None else [first, *self._consumer.consume(AT_ONCE - 1, 0)]
        except KafkaException as error:
            raise broker_error(f"reading {self.topic}", error) from None
        if self._errors.fatal is not None:
            raise broker_error("the broker refuses", self._errors.fatal)
        return messages

    def _translate(
        self, messages: Sequence[Message], ends: dict[int, int], log_ids: Mapping[int, str]
    ) -> list[RawRecord]:
        """Return the records before their partition's end, and stop fetching each partition that has reached it."""
        chunk = []
        topic, positions = self.topic, self.positions
        done = set()
        for message in messages:
            partition: Any = message.partition()
            end = ends.get(partition)
            if message.error() is not None:
                # after a change of leaders the broker's end may be too low for a moment, with more records to come
                if self._at_the_end(message) and end is not None and (message.offset() or 0) >= end:
                    done.add(partition)
                if end is not None and partition not in done and self._not_expanded(message):
                    chunk.append(self._skip(partition, message.offset() or 0, log_ids[partition]))
                    done |= {partition} if positions[partition] >= end else set()
                continue
            offset: Any = message.offset()
            if end is None or partition in done:
                continue
            if offset < end:
                positions[partition] = offset + 1
                chunk.append(raw_record(message, topic, partition, offset, log_ids[partition], self._unreadable))
            if offset >= end - 1:
                done.add(partition)
        self._finish(done, ends)
        return chunk

    def _not_expanded(self, message: Message) -> bool:
        error = message.error()
        return error is not None and meaning_of(error) is Meaning.NOT_EXPANDED

    def _skip(self, partition: int, batch: int, log_id: str) -> RawRecord:
        """Go on behind the next record, which is in a batch that the client cannot expand and asks for without end."""
        offset = max(batch, self.positions[partition])
        self.positions[partition] = offset + 1
        self._consumer.seek(TopicPartition(self.topic, partition, offset + 1))
        return unexpanded_record(self.topic, partition, offset, log_id)

    def _finish(self, partitions: set[int], ends: dict[int, int]) -> None:
        for partition in partitions:
            # the offsets between the last record and the end are transaction markers
            self.positions[partition] = ends.pop(partition)
        if partitions:
            self._consumer.incremental_unassign([TopicPartition(self.topic, partition) for partition in partitions])

    def _at_the_end(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return False
        meaning = meaning_of(error)
        where = f"{self.topic}[{message.partition()}]"
        if meaning is Meaning.OFFSETS_LOST:
            raise OffsetsLostError(
                f"{where} no longer has what comes next: retention or a truncation was faster ({describe(error)})"
            )
        if meaning is Meaning.TOPIC_REMOVED:
            raise OffsetsLostError(f"{where} is gone: {describe(error)}")
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED and not self._group:
            return False  # librdkafka looks for a coordinator all the same, and reads without one
        if meaning is Meaning.REFUSED:
            raise refusal(f"reading {where}", error, right_to_read(error, self.topic, self._group))
        if meaning is Meaning.DAMAGED:
            raise BrokerError(damaged_text(where, message))
        return meaning is Meaning.END_OF_PARTITION

    def _watch(self) -> None:
        found = self._topics.watch(self.topic)
        if found is not None and found != self.topic_id:
            raise OffsetsLostError(f"the topic {self.topic} was made again or removed while it was read")

    # -- its checkpoint, which is committed in a group of its own

    def checkpoint(self) -> Checkpoint:
        """Return what was committed in this reader's own group. Blocks; raises `BrokerError`."""
        doing = "asking for the checkpoint of the replay"
        found = ask_committed(doing, self._consumer, self.topic, self.partitions, self._errors)
        there = [item for item in found if item.offset >= 0]
        return Checkpoint({item.partition: item.offset for item in there}, checkpoint_fields(there))

    def keep_checkpoint(self, offsets: Mapping[int, int], fields: Mapping[str, Any]) -> None:
        """Commit these next offsets, each with a copy of `fields`, and block until the broker has acknowledged them.

        Raises `BrokerError`.
        """
        text = checkpoint_metadata(fields)
        wanted = [TopicPartition(self.topic, number, offset, metadata=text) for number, offset in offsets.items()]
        commit("keeping the checkpoint of the replay", self._consumer, wanted, self._errors)
