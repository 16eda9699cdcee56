"""A group's committed offsets: what the metadata beside an offset says, and how commits ended."""

from __future__ import annotations

import json
import logging
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from jobstatus_consumer.core.dead_letters import BudgetState
from jobstatus_consumer.kafka.client import describe
from jobstatus_consumer.records import Log
from jobstatus_consumer.telemetry.throttle import Throttle

logger = logging.getLogger("jobstatus.kafka")

REFUSED_COMMIT: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError._NO_OFFSET,
        KafkaError._STATE,
    }
)
"""Codes that mean "not yours now". They are harmless: an event whose offset is not committed is delivered again."""

LOG_AGAIN_SECONDS: Final = 30.0
"""One rebalance refuses many commits."""


class CommittedOffset(NamedTuple):
    """What the group has committed of a partition: the next offset (None for nothing), and the commit's metadata.

    `topic_id` is empty and `incarnation` is 0 where another tool made the commit. `budget` is the dead-letter budget
    as it was then.
    """

    offset: int | None = None
    topic_id: str = ""
    incarnation: int = 0
    budget: BudgetState = BudgetState()


def commit_metadata(log: Log, budget: BudgetState) -> str:
    """The metadata of a commit: it names the log, so that the offset is not used for a topic created again."""
    found: dict[str, Any] = {"topic_id": log.topic_id, "generation": log.incarnation}
    if budget.sent:
        found["dlq"] = list(budget)
    return json.dumps(found, separators=(",", ":"))


def read_commit(item: TopicPartition) -> CommittedOffset:
    """The commit in a broker's answer. Raises `KafkaException` where the answer for this partition is an error."""
    if item.error is not None:
        raise KafkaException(item.error)
    if item.offset < 0:
        return CommittedOffset()
    try:
        found = json.loads(item.metadata or "{}")
        budget = BudgetState(*(int(count) for count in found.get("dlq", ())))
        return CommittedOffset(item.offset, str(found.get("topic_id", "")), int(found.get("generation", 0)), budget)
    except (ValueError, AttributeError, TypeError):
        # another tool's commit, such as an administrator's reset: it does not name the log
        return CommittedOffset(item.offset)


class CommitCounts:
    """How many commits ended in which way, for the metrics. Refused and failed commits are logged every 30 s."""

    def __init__(self) -> None:
        self._throttle = Throttle(LOG_AGAIN_SECONDS)
        self.committed = 0
        self.refused = 0
        self.failed = 0

    def succeeded(self) -> None:
        """Count a commit that the broker acknowledged."""
        self.committed += 1

    def failed_with(self, error: KafkaError | None) -> None:
        """Count a commit that was refused or that failed."""
        refused = error is not None and error.code() in REFUSED_COMMIT
        self.refused += refused
        self.failed += not refused
        if self._throttle.allows():
            why = "a rebalance is running or done" if refused else "the broker did not accept it"
            logger.info(
                "a commit was refused (%s): %s; it is repeated for partitions that this consumer still has",
                describe(error) if error else "?",
                why,
            )

    def by_outcome(self) -> tuple[tuple[str, int], ...]:
        """The counts with the names that the metrics give them."""
        return (("committed", self.committed), ("refused", self.refused), ("failed", self.failed))
