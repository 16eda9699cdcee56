"""Kafka, and the only package that imports confluent_kafka.

`Topics` has the admin client, `GroupConsumer` is the member of the group, `RangeReader` reads without joining one, and
`DeadLetterSender` is the producer of the dead letters. `GuardedCoordinator` asks about groups in a child process. The
module `offsets` reads and moves what a group has committed.
"""

from jobstatus_consumer.kafka.client import FETCH_DEFAULTS, FETCH_LITTLE
from jobstatus_consumer.kafka.commits import CommittedOffset, checkpoint_group
from jobstatus_consumer.kafka.coordinator import Coordinator, GroupFacts
from jobstatus_consumer.kafka.counting import MemberCounts
from jobstatus_consumer.kafka.dead_letters import DeadLetterSender
from jobstatus_consumer.kafka.divergence import LogCut
from jobstatus_consumer.kafka.group import end_offsets
from jobstatus_consumer.kafka.group_consumer import AssignedPartition, GroupConsumer, new_client
from jobstatus_consumer.kafka.guarded import GuardedCoordinator
from jobstatus_consumer.kafka.member_properties import protocol
from jobstatus_consumer.kafka.offsets import (
    clear_budget,
    commits,
    commits_of_described,
    refuse_active,
    refuse_without_right,
    reset,
)
from jobstatus_consumer.kafka.range_reader import Checkpoint, RangeReader
from jobstatus_consumer.kafka.reading import EndOfPartition, Polled
from jobstatus_consumer.kafka.rights import PRINCIPALS, Principal, Right, acl_commands, consumer_rights
from jobstatus_consumer.kafka.topic_plans import TopicPlan, dead_letters_plan, events_plan
from jobstatus_consumer.kafka.topics import (
    TopicFacts,
    Topics,
    denied,
    unfit,
)

__all__ = [
    "FETCH_DEFAULTS",
    "FETCH_LITTLE",
    "PRINCIPALS",
    "AssignedPartition",
    "Checkpoint",
    "CommittedOffset",
    "Coordinator",
    "DeadLetterSender",
    "EndOfPartition",
    "GroupConsumer",
    "GroupFacts",
    "GuardedCoordinator",
    "LogCut",
    "MemberCounts",
    "Polled",
    "Principal",
    "RangeReader",
    "Right",
    "TopicFacts",
    "TopicPlan",
    "Topics",
    "acl_commands",
    "checkpoint_group",
    "clear_budget",
    "commits",
    "commits_of_described",
    "consumer_rights",
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
