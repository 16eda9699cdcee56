"""Kafka, and the only package that imports confluent_kafka.

`Topics` has the admin client, `GroupConsumer` is the member of the group, `RangeReader` reads without joining one, and
`DeadLetterSender` is the producer of the dead letters. The module `offsets` reads and moves what a group
has committed.
"""

from jobstatus_consumer.kafka.commits import CommittedOffset
from jobstatus_consumer.kafka.counting import MemberCounts
from jobstatus_consumer.kafka.dead_letters import DeadLetterSender
from jobstatus_consumer.kafka.divergence import LogCut
from jobstatus_consumer.kafka.group import end_offsets
from jobstatus_consumer.kafka.group_consumer import AssignedPartition, GroupConsumer, new_client
from jobstatus_consumer.kafka.member_properties import protocol
from jobstatus_consumer.kafka.offsets import clear_budget, commits, refuse_active, refuse_without_right, reset
from jobstatus_consumer.kafka.range_reader import Checkpoint, RangeReader
from jobstatus_consumer.kafka.reading import EndOfPartition, Polled
from jobstatus_consumer.kafka.topics import (
    GroupFacts,
    TopicFacts,
    TopicPlan,
    Topics,
    dead_letters_plan,
    denied,
    events_plan,
    unfit,
)

__all__ = [
    "AssignedPartition",
    "Checkpoint",
    "CommittedOffset",
    "DeadLetterSender",
    "EndOfPartition",
    "GroupConsumer",
    "GroupFacts",
    "LogCut",
    "MemberCounts",
    "Polled",
    "RangeReader",
    "TopicFacts",
    "TopicPlan",
    "Topics",
    "clear_budget",
    "commits",
    "dead_letters_plan",
    "denied",
    "end_offsets",
    "events_plan",
    "new_client",
    "protocol",
    "refuse_active",
    "refuse_without_right",
    "reset",
    "unfit",
]
