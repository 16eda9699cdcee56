"""The one translation of the library's messages: to a record, or to what the error in its place means."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from confluent_kafka import KafkaError, Message

from jobstatus_consumer.kafka.error_codes import STOP_FOR_A_REMOVED_TOPIC, STOP_FOR_LOST_OFFSETS, is_final
from jobstatus_consumer.records import RawRecord

# faster than `RawRecord(...)`, and it is called for every record
_make: Final = RawRecord._make


class Meaning(Enum):
    """What an error that `poll` gives instead of a record means for the reader of its partition."""

    END_OF_PARTITION = auto()
    """every record before the message's offset has been polled; the client goes on fetching"""
    OFFSETS_LOST = auto()
    """the log does not hold the offset that comes next"""
    TOPIC_REMOVED = auto()
    """the topic or the partition does not exist any more"""
    REFUSED = auto()
    """the broker or the client refuses, and waiting does not help"""
    PASSING = auto()
    """the client goes on trying by itself"""


def meaning_of(error: KafkaError) -> Meaning:
    """Return what the error of a message means; by its code, never by its text."""
    code = error.code()
    if code == KafkaError._PARTITION_EOF:
        return Meaning.END_OF_PARTITION
    if code in STOP_FOR_LOST_OFFSETS:
        return Meaning.OFFSETS_LOST
    if code in STOP_FOR_A_REMOVED_TOPIC:
        return Meaning.TOPIC_REMOVED
    return Meaning.REFUSED if is_final(error) else Meaning.PASSING


def raw_record(message: Message, topic: str, partition: int, offset: int, log_id: str) -> RawRecord:
    """Return the record of a message without an error. The caller has looked up its position already."""
    timestamp = message.timestamp()[1]
    key, value, headers = message.key(), message.value(), message.headers() or ()
    return _make((topic, partition, offset, timestamp, key, value, headers, log_id))
