"""Where a log that lost its tail parts from what was read of it (Kafka's KIP-320).

librdkafka asks a partition's leader for the end of a leader epoch (OffsetForLeaderEpoch) when it seeks to an offset
with an epoch, and when the leader changes under a running fetch. It does not at the start of a fetch. Where the epoch
ends below the offset, it continues with that end if there is a policy for lost offsets. So a client that seeks and
reads one message shows the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from jobstatus_consumer.config import Settings
from jobstatus_consumer.errors import BrokerAwayError
from jobstatus_consumer.kafka.client import (
    ANSWER_SECONDS,
    ASK_FOR_SECONDS,
    FETCH_DEFAULTS,
    QuietErrors,
    ask,
    broker_error,
    consumer_properties,
    make,
)
from jobstatus_consumer.kafka.commits import CommittedOffset
from jobstatus_consumer.kafka.messages import Meaning, meaning_of
from jobstatus_consumer.kafka.topics import Topics
from jobstatus_consumer.records import NO_EPOCH

STEP_SECONDS: Final = 0.1


class Place(NamedTuple):
    """An offset up to which a partition was read, and the leader epoch of the record before it."""

    offset: int
    epoch: int


class LogCut(NamedTuple):
    """The log lost its tail: it was read up to `read`, in `epoch`, and from `end` on it has other records now."""

    partition: int
    read: int
    end: int
    epoch: int


def places_in_doubt(
    topics: Topics, topic: str, topic_id: str, commits: Mapping[int, CommittedOffset]
) -> dict[int, Place]:
    """Return the commits of partitions that have had another leader since: only then a log may have lost its tail.

    Blocks for the brokers' answers; raises `BrokerError`.
    """
    places = {
        number: Place(commit.offset, commit.epoch)
        for number, commit in commits.items()
        if commit.offset is not None and commit.epoch != NO_EPOCH and commit.topic_id in ("", topic_id)
    }
    epochs = topics.leader_epochs(topic, sorted(places)) if places else {}
    return {number: place for number, place in places.items() if epochs[number] != place.epoch}


def find_cuts(
    settings: Settings, places: Mapping[int, Place], make_client: Callable[[dict[str, Any]], Consumer]
) -> list[LogCut]:
    """Return the logs that no longer have what was read up to these places; blocks and raises as `find_divergences`."""
    ends = find_divergences(settings, places, make_client) if places else {}
    return [LogCut(n, offset, ends[n], epoch) for n, (offset, epoch) in places.items() if ends[n] < offset]


def find_divergences(
    settings: Settings, places: Mapping[int, Place], make_client: Callable[[dict[str, Any]], Consumer]
) -> dict[int, int]:
    """Return by partition the first offset of the log that is not of the history that was read up to a place.

    That is the place's offset, or a higher one, if the log still has this history. Blocks for the brokers' answers;
    raises `BrokerError`, and `BrokerAwayError` after 30 s without an answer.
    """
    errors = QuietErrors()
    client = make(make_client, _properties(settings, errors))
    doing = f"asking whether {settings.topic} still has what was read of it"
    try:
        # by itself librdkafka asks for the leaders up to a second after an assignment by hand
        ask(doing, lambda: client.list_topics(settings.topic, timeout=ANSWER_SECONDS), errors)
        client.assign(ask(doing, lambda: _beginnings(client, settings.topic, places), errors))
        for number, (offset, epoch) in places.items():
            client.seek(TopicPartition(settings.topic, number, offset, leader_epoch=epoch))
        return _first_offsets(doing, client, places, errors)
    except KafkaException as error:
        raise broker_error(doing, error) from None
    finally:
        client.close()


def _beginnings(client: Consumer, topic: str, numbers: Iterable[int]) -> list[TopicPartition]:
    """The first offset of each partition: a fetch from there cannot fail, so no answer to it spoils the seek."""
    found = []
    for number in numbers:
        marks = client.get_watermark_offsets(TopicPartition(topic, number), timeout=ANSWER_SECONDS)
        if marks is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{topic}[{number}] gave no watermarks"))
        found.append(TopicPartition(topic, number, marks[0]))
    return found


def _properties(settings: Settings, errors: QuietErrors) -> dict[str, Any]:
    properties = {
        **consumer_properties(settings, FETCH_DEFAULTS),
        "group.id": f"{settings.group_id}.reader",
        # the policy: where the epoch ends below the offset, continue with its end
        "auto.offset.reset": "earliest",
        "error_cb": errors,
    }
    properties.pop("partition.assignment.strategy", None)
    return properties


def _first_offsets(doing: str, client: Consumer, places: Mapping[int, Place], errors: QuietErrors) -> dict[int, int]:
    found: dict[int, int] = {}
    deadline = time.monotonic() + ASK_FOR_SECONDS
    while found.keys() != places.keys():
        if errors.fatal is not None:
            raise broker_error(doing, errors.fatal)
        if time.monotonic() > deadline:
            raise BrokerAwayError(f"{doing}: no answer in {ASK_FOR_SECONDS:g} s")
        message = client.poll(STEP_SECONDS)
        partition = None if message is None else message.partition()
        # an error that is of no partition, such as of the group, which this client does not need, names any of them
        place = None if partition is None else places.get(partition)
        if (
            message is not None
            and partition is not None
            and place is not None
            and (offset := _offset(message, place)) is not None
        ):
            found.setdefault(partition, offset)
    return found


def _offset(message: Message, place: Place) -> int | None:
    """The offset of a record or of the partition's end; None for another error, after which the client tries again.

    A batch that cannot be read is reported at its beginning, which may be before the place. The log has it, and the
    consumer that reads it will report it.
    """
    error = message.error()
    meaning = Meaning.END_OF_PARTITION if error is None else meaning_of(error)
    offset = message.offset()
    if meaning in (Meaning.DAMAGED, Meaning.NOT_EXPANDED):
        return place.offset if offset is None else max(offset, place.offset)
    return offset if meaning is Meaning.END_OF_PARTITION else None
