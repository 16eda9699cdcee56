"""The properties of a group's member that depend on how its partitions are assigned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jobstatus_consumer.kafka.client import FETCH_DEFAULTS
from jobstatus_consumer.kafka.counting import STATISTICS_EVERY_MS

DEFAULTS: Final[Mapping[str, Any]] = {
    # the members that stay go on reading during a rolling deployment; every broker since 2.4 supports it
    "partition.assignment.strategy": "cooperative-sticky",
    # a member finds new partitions when it refreshes what it knows of the topic; the library's default is 5 minutes
    "topic.metadata.refresh.interval.ms": 10_000,
    # the metrics show to which brokers there is a connection
    "statistics.interval.ms": STATISTICS_EVERY_MS,
    **FETCH_DEFAULTS,
}


def member_defaults(properties: Mapping[str, str]) -> dict[str, Any]:
    """A member's properties that the user may override.

    With the protocol of KIP-848 the broker assigns, and the client refuses a strategy.
    """
    if protocol(properties) == "consumer":
        return {name: value for name, value in DEFAULTS.items() if name != "partition.assignment.strategy"}
    return dict(DEFAULTS)


def is_cooperative(properties: Mapping[str, str]) -> bool:
    """Whether partitions are assigned and revoked one by one, and not all at once."""
    if protocol(properties) == "consumer":
        return True
    strategy = properties.get("partition.assignment.strategy", DEFAULTS["partition.assignment.strategy"])
    return "cooperative" in strategy


def protocol(properties: Mapping[str, str]) -> str:
    """Who assigns: a member (`classic`) or the broker (`consumer`, KIP-848)."""
    return properties.get("group.protocol", "classic").lower()
