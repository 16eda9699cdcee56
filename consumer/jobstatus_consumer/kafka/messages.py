"""The one translation of the library's messages: to a record, or to what the error in its place means."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final

from confluent_kafka import KafkaError, Message

from jobstatus_consumer.core import LARGEST_KEPT, CutBytes, kept_bytes, kept_headers
from jobstatus_consumer.kafka.error_codes import STOP_FOR_A_REMOVED_TOPIC, STOP_FOR_LOST_OFFSETS, is_final
from jobstatus_consumer.records import Headers, RawRecord
from jobstatus_consumer.telemetry.throttle import Throttle

logger = logging.getLogger("jobstatus.kafka")

NO_TIMESTAMP: Final = -1
LOG_AGAIN_SECONDS: Final = 60.0
"""A client that sends such a header sends many."""

# what `RawRecord(...)` does, without the call of a function in Python: it is called for every record
_make: Final = tuple.__new__


class Meaning(Enum):
    """What an error that `poll` gives instead of a record means for the reader of its partition."""

    END_OF_PARTITION = auto()
    """every record before the message's offset has been polled; the client goes on fetching"""
    OFFSETS_LOST = auto()
    """the log does not hold the offset that comes next"""
    TOPIC_REMOVED = auto()
    """the topic or the partition does not exist any more"""
    NOT_EXPANDED = auto()
    """the client cannot decompress the batch at the message's offset within its limit, and will ask for it again"""
    DAMAGED = auto()
    """the bytes of the batch at the message's offset are not those that were written"""
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
    if code == KafkaError._BAD_COMPRESSION:
        return Meaning.NOT_EXPANDED
    if code == KafkaError._BAD_MSG:
        return Meaning.DAMAGED
    return Meaning.REFUSED if is_final(error) else Meaning.PASSING


def damaged_text(where: str, message: Message) -> str:
    """Return what a person has to know about a batch whose checksum is wrong."""
    error = message.error()
    return (
        f"{where} is damaged at offset {message.offset()}: {error.str() if error is not None else ''}. The disk or the "
        "network of the broker changed it. Nothing behind it was read. Let another replica lead the partition, or "
        "skip the batch: jobstatus offsets reset"
    )


class UnreadableHeaders:
    """Reports the headers that were left out because their names are not UTF-8: a number to `count`, a line to the log.

    The line is logged once a minute.
    """

    def __init__(self, count: Callable[[int], object] = lambda _: None) -> None:
        self._count = count
        self._throttle = Throttle(LOG_AGAIN_SECONDS)

    def __call__(self, topic: str, partition: int, offset: int, count: int) -> None:
        """Report `count` headers of the record at this position."""
        self._count(count)
        if self._throttle.allows():
            logger.warning(
                "%s[%d] offset %d: the names of %d headers are not UTF-8; they are ignored, the record is not",
                *(topic, partition, offset, count),
            )


def raw_record(
    message: Message,
    topic: str,
    partition: int,
    offset: int,
    log_id: str,
    unreadable: Callable[[str, int, int, int], object] = lambda *_: None,
) -> RawRecord:
    """Return the record of a message without an error. The caller has looked up its position already.

    A header whose name is not UTF-8 is left out. `unreadable` is then called with the position and their number. What
    is too large to be kept is cut (`core/cut.py`).
    """
    timestamp = message.timestamp()[1]
    key, value = message.key(), message.value()
    if (value is not None and len(value) > LARGEST_KEPT) or (key is not None and len(key) > LARGEST_KEPT):
        key, value = kept_bytes(key), kept_bytes(value)
    try:
        headers: Any = message.headers() or ()
        if headers:
            # the interpreter does not check the call above once it has optimized it: its error would be raised by an
            # unrelated call later. `map` checks every call that it makes
            next(map(len, (headers,)))
            headers = kept_headers(headers)
    except (SystemError, UnicodeDecodeError):
        headers, count = _readable_headers(message)
        unreadable(topic, partition, offset, count)
    return _make(RawRecord, (topic, partition, offset, timestamp, key, value, headers, log_id))


def _readable_headers(message: Message) -> tuple[Headers, int]:
    """Return the headers whose names are UTF-8, and the number of the others, after `headers()` has raised.

    The library keeps the list that it has made, and returns it when it is asked again. A pair without a readable name
    has nothing in the place of the name, and reading that place would end the process. `gc` returns only what is there.
    """
    try:
        pairs: Any = message.headers() or ()
    except (SystemError, UnicodeDecodeError):
        return (), 1  # another version of the library, which keeps nothing
    readable = [pair for pair in pairs if len(gc.get_referents(pair)) == len(pair)]
    return kept_headers(readable), len(pairs) - len(readable)


def unexpanded_record(topic: str, partition: int, offset: int, log_id: str) -> RawRecord:
    """Return what stands for a record that the client could not expand: nothing is known of it but its position."""
    return RawRecord(topic, partition, offset, NO_TIMESTAMP, None, CutBytes.known(b""), (), log_id)
