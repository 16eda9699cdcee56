"""A group's commits: what the metadata beside each committed offset says, and how commits ended.

The metadata is a text that Kafka keeps beside each offset; ours is JSON. A member of the group writes
`{"topic_id": ..., "generation": ..., "dlq": [...]}`: which log the offset is from (its topic's id and its incarnation),
and the counts of the dead letter budget if dead letters were sent. A named replay writes fields of its own choice.
Any tool may commit for a group, so metadata in another form is read as if there were none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from jobstatus_consumer.core import BudgetState
from jobstatus_consumer.kafka.client import describe
from jobstatus_consumer.kafka.error_codes import COMMIT_AGAIN_IF_STILL_ASSIGNED
from jobstatus_consumer.records import NO_EPOCH, Log
from jobstatus_consumer.telemetry.throttle import Throttle

logger = logging.getLogger("jobstatus.kafka")

LOG_AGAIN_SECONDS: Final = 30.0
"""One rebalance refuses many commits."""

NOT_OURS: Final = (ValueError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading metadata in another form raises: no JSON, other types, an infinite number, or too deeply nested."""


class CommittedOffset(NamedTuple):
    """A commit of the group for one partition: the next offset (None for no commit), its log, and the budget then.

    `epoch` is the leader epoch of the record before the offset; a member commits it beside the offset.
    """

    offset: int | None = None
    topic_id: str = ""
    incarnation: int = 0
    budget: BudgetState = BudgetState()
    epoch: int = NO_EPOCH


def commit_metadata(log: Log, budget: BudgetState) -> str:
    """Return what a member commits beside an offset. It tells this log from one of a topic that was made again."""
    fields: dict[str, Any] = {"topic_id": log.topic_id, "generation": log.incarnation}
    if budget.sent:
        fields["dlq"] = list(budget)
    return json.dumps(fields, separators=(",", ":"))


def read_commit(item: TopicPartition) -> CommittedOffset:
    """Return the commit in the broker's answer for one partition; raises `KafkaException` if that is an error."""
    if item.error is not None:
        raise KafkaException(item.error)
    if item.offset < 0:
        return CommittedOffset()
    epoch = NO_EPOCH if item.leader_epoch is None else item.leader_epoch
    try:
        fields = json.loads(item.metadata or "{}")
        budget = BudgetState(*(int(count) for count in fields.get("dlq", ())))
        incarnation = int(fields.get("generation", 0))
        return CommittedOffset(item.offset, str(fields.get("topic_id", "")), incarnation, budget, epoch)
    except NOT_OURS:
        # another tool's commit, such as an administrator's reset: it does not name the log
        return CommittedOffset(item.offset, epoch=epoch)


def without_budget(metadata: str | None) -> str | None:
    """Return a member's metadata without the counts of the dead letter budget; None if it holds none."""
    try:
        fields = json.loads(metadata or "{}")
        if not fields.pop("dlq", None):
            return None
    except NOT_OURS:
        return None
    return json.dumps(fields, separators=(",", ":"))


def checkpoint_group(group_id: str, name: str) -> str:
    """Return the group that holds the checkpoint of the replay of this name; it is never the live group."""
    return f"{group_id}.replay.{name}"


def checkpoint_metadata(fields: Mapping[str, Any]) -> str:
    """Return what a named replay commits beside each offset."""
    return json.dumps(fields, separators=(",", ":"), sort_keys=True)


def checkpoint_fields(items: Sequence[TopicPartition]) -> Mapping[str, Any]:
    """Return the fields of a named replay's checkpoint. Each partition has a copy; the first readable one counts."""
    for item in items:
        try:
            fields = json.loads(item.metadata or "")
        except NOT_OURS:
            continue
        if isinstance(fields, dict):
            return fields
    return {}


class CommitCounts:
    """Counts how each commit ended: `committed`, `refused` or `failed`. The last two are logged every 30 s."""

    def __init__(self, count: Callable[[str], object]) -> None:
        self._throttle = Throttle(LOG_AGAIN_SECONDS)
        self._count = count

    def succeeded(self) -> None:
        """Count a commit that the broker acknowledged."""
        self._count("committed")

    def failed_with(self, error: KafkaError | None) -> None:
        """Count a commit that was refused or that failed."""
        refused = error is not None and error.code() in COMMIT_AGAIN_IF_STILL_ASSIGNED
        self._count("refused" if refused else "failed")
        if self._throttle.allows():
            why = "a rebalance is running or done" if refused else "the broker did not accept it"
            logger.info(
                "a commit was refused (%s): %s; it is repeated for partitions that this consumer still has",
                describe(error) if error else "?",
                why,
            )
