"""When `--until-caught-up` ends."""

from __future__ import annotations

from collections.abc import Iterable

from jobstatus_consumer.kafka.commits import CommittedOffset
from jobstatus_consumer.kafka.group_consumer import AssignedPartition
from jobstatus_consumer.records import Log
from jobstatus_consumer.stream.assignment import Assignment
from jobstatus_consumer.stream.caught_up import ASK_GROUP_EVERY, JOIN_WITHIN, CaughtUp

LOG = Log("t", "id", 0)


class Group:
    """A group in which this member has partition 0, and another member may have partition 1."""

    def __init__(self) -> None:
        self.rebalances = 1
        self.asked = 0
        self.offsets: dict[int, int | None] = {}
        self.assignment = Assignment(accept_loss=False)
        self.now = 0.0

    def committed(self, partitions: Iterable[int]) -> dict[int, CommittedOffset]:
        self.asked += 1
        return {number: CommittedOffset(self.offsets.get(number)) for number in partitions}

    def assign(self, *, written: int) -> None:
        self.assignment.add(AssignedPartition(LOG, CommittedOffset(written, "id"), 0, 100))

    def compare(self, known: int) -> None:
        self.assignment.compare({LOG.id: known}, self.assignment.epoch)

    def caught_up(self, ends: dict[int, int]) -> CaughtUp:
        return CaughtUp(ends, self.assignment, self, lambda: self.now)


def test_a_partition_of_ours_counts_once_it_is_compared_and_written() -> None:
    group = Group()
    caught_up = group.caught_up({0: 10})
    group.assign(written=10)
    # the group's commit alone does not say what the database has
    assert not caught_up.reached()
    group.compare(known=10)
    assert caught_up.reached()
    assert not group.caught_up({0: 11}).reached()
    assert group.asked == 0


def test_another_members_partition_counts_once_the_group_has_committed_it() -> None:
    group = Group()
    caught_up = group.caught_up({1: 5, 2: 0})
    assert not caught_up.reached()
    group.offsets[1] = 5
    assert not caught_up.reached(), "the broker is not asked with every step"
    group.now += ASK_GROUP_EVERY
    assert caught_up.reached()
    assert group.asked == 2


def test_nothing_counts_before_this_member_has_joined_but_for_a_limited_time() -> None:
    group = Group()
    group.rebalances = 0
    caught_up = group.caught_up({0: 0})
    assert not caught_up.reached()
    group.now += JOIN_WITHIN
    assert caught_up.reached()
