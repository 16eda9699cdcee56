"""The topic and the consumer group of one run: made, asked about, read, and removed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from jobstatus_schemas.protocol import kafka_properties

from jobstatus_demo.command import run_jobstatus
from jobstatus_demo.errors import DemoError

logger = logging.getLogger("jobstatus.demo")

PARTITIONS: Final = 6
RETENTION_DAYS: Final = 1
ANSWER_SECONDS: Final = 10.0
ASK_FOR_SECONDS: Final = 30.0
"""How long a question is repeated while its error is one that passes."""
ASK_EVERY: Final = 0.05
PASSING: Final = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._UNKNOWN_PARTITION,
)
NEVER_THERE: Final = (KafkaError.GROUP_ID_NOT_FOUND, KafkaError.UNKNOWN_TOPIC_OR_PART)

T = TypeVar("T")


class Topic:
    """The topic `name`, its dead-letter topic and the group `name`, through clients of the demo's own.

    A question to the broker blocks for about 40 s at most, and raises `DemoError` if there is no answer.
    """

    def __init__(self, name: str, env: Mapping[str, str]) -> None:
        """Connects only when something is asked. `env` is the environment that the demo's children get.

        Raises `DemoError` if librdkafka refuses one of the user's properties.
        """
        self.name = name
        self._env = env
        properties: dict[str, Any] = {"log_level": 0, **kafka_properties(env)}
        ours = {"group.id": name, "enable.auto.commit": False, "auto.offset.reset": "error"}
        try:
            self._admin: Any = AdminClient(properties)
            # this consumer never subscribes, so it is no member of the group
            self.reader: Any = Consumer({**properties, **ours})
        except KafkaException as error:
            raise DemoError(f"one of your settings JOBSTATUS_KAFKA_* is wrong: {describe(error)}", 2) from None

    def close(self) -> None:
        """Close the demo's own consumer."""
        self.reader.close()

    def make(self) -> None:
        """Run `jobstatus topics create`; raises `DemoError` with its message if it fails."""
        run_jobstatus(
            self._env, "topics", "create", "--partitions", str(PARTITIONS), "--retention-days", str(RETENTION_DAYS)
        )

    def remove(self) -> None:
        """Remove both topics and the group where they exist; log a warning for each that could not be removed."""
        topics = self._admin.delete_topics([self.name, f"{self.name}.dlq"], request_timeout=ANSWER_SECONDS)
        groups = self._admin.delete_consumer_groups([self.name], request_timeout=ANSWER_SECONDS)
        going = {
            **{f"the topic {name}": end for name, end in topics.items()},
            **{f"the group {name}": end for name, end in groups.items()},
        }
        for what, end in going.items():
            try:
                end.result(ANSWER_SECONDS + 1)
            except KafkaException as error:
                if error.args[0].code() not in NEVER_THERE:
                    logger.warning("%s was not removed: %s", what, describe(error))
            except TimeoutError:
                logger.warning("%s was not removed: the broker did not answer", what)

    def has_a_member(self) -> bool:
        """True once the group has a member that has its partitions."""
        asked = self._admin.describe_consumer_groups([self.name], request_timeout=ANSWER_SECONDS)
        try:
            return bool(asked[self.name].result(ANSWER_SECONDS + 1).state == ConsumerGroupState.STABLE)
        except (KafkaException, TimeoutError):
            return False  # the group does not exist yet, or the broker is busy

    def committed(self) -> dict[int, int]:
        """The group's committed offset of each partition that has one."""
        found = patiently(lambda: self.reader.committed(self._partitions(), timeout=ANSWER_SECONDS))
        return {item.partition: item.offset for item in found if item.offset >= 0}

    def ends(self) -> dict[int, int]:
        """The offset after the last event of each partition."""
        return {item.partition: self._end(item) for item in self._partitions()}

    def _end(self, partition: TopicPartition) -> int:
        marks = patiently(lambda: self.reader.get_watermark_offsets(partition, timeout=ANSWER_SECONDS))
        if marks is None:
            raise DemoError(f"the broker did not give the end of {partition.topic}[{partition.partition}]")
        return int(marks[1])

    def _partitions(self) -> list[TopicPartition]:
        topic = patiently(lambda: self.reader.list_topics(self.name, timeout=ANSWER_SECONDS)).topics[self.name]
        return [TopicPartition(self.name, number) for number in sorted(topic.partitions)]

    def log_ids(self) -> dict[int, str]:
        """What a row stores as `log_id` for each partition: topic, topic id and partition."""
        found = patiently(self._describe)
        topic_id = str(found.topic_id).replace("+", "-").replace("/", "_")  # as Kafka's own tools write it
        return {item.id: f"{self.name}/{topic_id}/{item.id}" for item in found.partitions}

    def _describe(self) -> Any:
        asked = self._admin.describe_topics(TopicCollection([self.name]), request_timeout=ANSWER_SECONDS)
        return asked[self.name].result(ANSWER_SECONDS + 1)


def patiently(question: Callable[[], T]) -> T:
    """The broker's answer. Asks again for up to 30 s while the error is one that passes; then raises `DemoError`."""
    deadline = time.monotonic() + ASK_FOR_SECONDS
    while True:
        try:
            return question()
        except TimeoutError:
            if time.monotonic() > deadline:
                raise DemoError("the broker does not answer") from None
        except KafkaException as error:
            inner = error.args[0]
            if (not inner.retriable() and inner.code() not in PASSING) or time.monotonic() > deadline:
                raise DemoError(f"the broker does not answer: {describe(error)}") from None
        time.sleep(ASK_EVERY)


def describe(error: KafkaException) -> str:
    """An error of librdkafka by its name and its text."""
    inner = error.args[0]
    return f"{inner.name()}: {inner.str()}" if isinstance(inner, KafkaError) else str(inner)
