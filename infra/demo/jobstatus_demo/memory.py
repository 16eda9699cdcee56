"""Questions about topics on librdkafka's built-in cluster, which has no administration."""

from __future__ import annotations

from jobstatus_consumer.kafka.topics import TopicFacts, Topics


class MemoryTopics(Topics):
    """What a consumer asks about topics, answered out of the metadata that every client has."""

    def topic_id(self, name: str) -> str:
        """There is none; a cluster in memory makes no topic twice under one name."""
        return "-"

    def describe(self, name: str) -> TopicFacts | None:
        """Asking makes the topic."""
        return TopicFacts(name, "-", len(self.partitions(name)), 1, {})
