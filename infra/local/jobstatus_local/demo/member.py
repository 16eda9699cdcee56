"""The demo's consumer: `jobstatus consume` in a process of its own, that ends with the demo.

    python -m jobstatus_local.demo.member PARENT real|memory ARGUMENTS OF jobstatus...

On librdkafka's built-in cluster (`memory`) nobody answers questions of administration; there alone the topic's facts
come from the metadata that every client has.
"""

from __future__ import annotations

import sys

from jobstatus_consumer import app
from jobstatus_consumer.entry import main as jobstatus
from jobstatus_consumer.kafka.topics import TopicFacts, Topics

from jobstatus_local.demo.tether import die_with


class MemoryTopics(Topics):
    """What `app.consume` asks about topics, answered without an admin."""

    def topic_id(self, name: str) -> str:
        """There is none; a cluster in memory makes no topic twice under one name."""
        return "-"

    def describe(self, name: str) -> TopicFacts | None:
        """The facts out of the metadata; asking makes the topic."""
        return TopicFacts(name, "-", len(self.partitions(name)), 1, {})


def main(parent: str, kind: str, *arguments: str) -> None:
    """Run the command; does not return."""
    die_with(int(parent))
    if kind == "memory":
        setattr(app, "Topics", MemoryTopics)  # noqa: B010 - mypy: a name that app has for its own use
    sys.argv = ["jobstatus", *arguments]
    jobstatus()


if __name__ == "__main__":
    main(*sys.argv[1:])
