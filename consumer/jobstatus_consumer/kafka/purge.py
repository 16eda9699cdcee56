"""Removing what lies before an offset of a topic."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import TopicPartition

from jobstatus_consumer.kafka.client import ANSWER_SECONDS, ask
from jobstatus_consumer.kafka.topics import Topics


def remove_before(topics: Topics, topic: str, offsets: Mapping[int, int]) -> dict[int, int]:
    """Have the broker remove everything before these offsets; the new first offset of each partition."""
    wanted = [TopicPartition(topic, number, offset) for number, offset in offsets.items()]

    def question() -> dict[int, int]:
        asked = topics.client().delete_records(wanted, request_timeout=ANSWER_SECONDS)
        return {item.partition: future.result(ANSWER_SECONDS + 1).low_watermark for item, future in asked.items()}

    return ask(f"removing records of {topic}", question) if wanted else {}
