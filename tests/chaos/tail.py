"""Reading a topic from its beginning, outside any group, as far as it goes: the checker's own eyes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from jobstatus_consumer.kafka.messages import raw_record
from jobstatus_consumer.records import Log, RawRecord

LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]
CONFIG: Final = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "log_level": 0,
    # without these there is a fetch for each record of the workers
    "fetch.wait.max.ms": 500,
    "fetch.min.bytes": 100_000,
}


class Ends:
    """Where each partition of a topic ends."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self._topic = topic
        self._wanted = {TopicPartition(topic, number): LATEST for number in range(partitions)}
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    def now(self) -> dict[int, int]:
        """The end of each partition as its leader has it now; nothing where one does not answer."""
        try:
            answers = self._admin.list_offsets(self._wanted, request_timeout=3.0)
            found = {place.partition: answer.result(4.0).offset for place, answer in answers.items()}
        except (KafkaException, TimeoutError):
            found = {}
        # for a leader that is silent the library answers with an offset below 0, and without an error
        if not found or min(found.values()) < 0:
            self._look_for_leaders()
            return {}
        return found

    def _look_for_leaders(self) -> None:
        """The client would go on asking those that it once knew."""
        with suppress(KafkaException):
            self._admin.list_topics(self._topic, timeout=3.0)


class Tail:
    """One reader of all partitions of a topic; a broker that is away only makes it slower."""

    def __init__(self, bootstrap: str, topic: str, topic_id: str, partitions: int) -> None:
        self.topic = topic
        self.topic_id = topic_id
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"tail-{uuid.uuid4()}", **CONFIG})
        self._ends = Ends(bootstrap, topic, partitions)
        self.next: dict[int, int] = dict.fromkeys(range(partitions), 0)
        self._log_ids = {number: Log(topic, topic_id, number).id for number in self.next}
        self._consumer.assign([TopicPartition(topic, number, 0) for number in self.next])

    def ends(self) -> dict[int, int]:
        """The end of each partition as its leader has it now; nothing where one does not answer."""
        return self._ends.now()

    def read_to(self, ends: Mapping[int, int], timeout: float) -> tuple[list[RawRecord], bool]:
        """Read on until every partition is at its end or past it; what came, and whether that was reached."""
        found: list[RawRecord] = []
        deadline = time.monotonic() + timeout
        while (missing := self._missing(ends)) and time.monotonic() < deadline:
            found += self._some()
        return found, not missing

    def _missing(self, ends: Mapping[int, int]) -> bool:
        return any(self.next[number] < end for number, end in ends.items())

    def _some(self) -> list[RawRecord]:
        found = []
        for message in self._consumer.consume(1000, 0.1):
            if message.error() is not None:
                continue
            partition: Any = message.partition()
            offset: Any = message.offset()
            self.next[partition] = offset + 1
            found.append(raw_record(message, self.topic, partition, offset, self._log_ids[partition]))
        return found

    def close(self) -> None:
        """End the reader."""
        self._consumer.close()
