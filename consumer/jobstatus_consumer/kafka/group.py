"""The ends of the topic, as an observer sees them."""

from __future__ import annotations

from jobstatus_consumer.config import Settings
from jobstatus_consumer.kafka.topics import Topics


def end_offsets(settings: Settings, topics: Topics) -> dict[int, int]:
    """Return the end of each partition now: the offset after its last record. Blocks; raises `BrokerError`."""
    found = topics.watermarks(settings.topic, topics.partitions(settings.topic))
    return {number: watermarks.high for number, watermarks in found.items()}
