"""The offsets of the assigned partitions: what moves them, what is committed, and which results still count."""

from __future__ import annotations

import pytest
from jobstatus_consumer.core.start_offsets import StartOffset
from jobstatus_consumer.errors import OffsetsLostError
from jobstatus_consumer.kafka.commits import CommittedOffset
from jobstatus_consumer.kafka.group_consumer import AssignedPartition
from jobstatus_consumer.records import Log, LogRange
from jobstatus_consumer.stream.assignment import Assignment

LOG = Log("t", "id", 0)
NEWER = LOG._replace(incarnation=2)


def assignment(commit: CommittedOffset | None = None, *, low: int = 0, accept_loss: bool = False) -> Assignment:
    found = Assignment(accept_loss=accept_loss)
    found.add(AssignedPartition(LOG, commit or CommittedOffset(10, "id"), low, 100))
    return found


def covered(start: int, end: int) -> list[LogRange]:
    return [LogRange("t", 0, LOG.id, start, end)]


def test_only_what_is_written_is_committed_and_only_once() -> None:
    found = assignment()
    found.partitions[0].buffered = 30
    assert found.to_commit(acked=False) == {}
    found.mark_written(covered(10, 20), found.epoch)
    assert found.to_commit(acked=False) == {LOG: 20}
    found.mark_committed({LOG: 20}, acked=False)
    assert found.to_commit(acked=False) == {}
    # what was only sent may yet be refused
    assert found.to_commit(acked=True) == {LOG: 20}
    found.mark_committed({LOG: 20}, acked=True)
    assert found.to_commit(acked=True) == {}


def test_a_place_that_was_committed_before_a_rewind_is_committed_again() -> None:
    found = assignment()
    found.mark_committed({LOG: 10}, acked=True)
    # a log that lost its tail: back, and up to where it was committed before
    found.mark_committed({LOG: 5}, acked=False)
    assert found.to_commit(acked=True) == {LOG: 10}


def test_a_commit_that_failed_is_made_again() -> None:
    found = assignment()
    found.mark_written(covered(10, 20), found.epoch)
    found.mark_committed({LOG: 20}, acked=False)
    found.mark_not_committed({0, 7})
    assert found.to_commit(acked=False) == {LOG: 20}


def test_only_some_partitions_are_committed_where_asked() -> None:
    found = assignment()
    found.mark_written(covered(10, 20), found.epoch)
    assert found.to_commit(acked=True, only={1}) == {}


def test_a_batch_behind_a_gap_is_a_bug() -> None:
    found = assignment()
    with pytest.raises(RuntimeError, match="were never written"):
        found.mark_written(covered(11, 20), found.epoch)


@pytest.mark.parametrize("change", ["rewound", "assigned again", "gone"])
def test_a_result_from_before_a_change_does_not_count(change: str) -> None:
    found = assignment()
    epoch = found.epoch
    if change == "rewound":
        found.rewind(StartOffset(LOG, 5))
    else:
        found.remove({0})
    if change == "assigned again":
        found.add(AssignedPartition(LOG, CommittedOffset(5, "id"), 0, 100))
    assert found.changed_since(epoch, {0}) == {0}
    found.mark_written(covered(10, 20), epoch)
    assert found.written() == ({} if change == "gone" else {LOG: 5})
    assert found.compare({LOG.id: 0}, epoch) == []


def test_a_partition_may_be_written_once_it_was_compared() -> None:
    found = assignment()
    before = found.all_compared
    assert found.compare({LOG.id: 10}, found.epoch) == []
    assert (before, found.all_compared) == (False, True)


def test_the_backlog_is_polled_when_all_partitions_are_at_the_end_that_they_had() -> None:
    found = assignment()
    found.add(AssignedPartition(LOG._replace(partition=1), CommittedOffset(100, "id"), 0, 100))
    found.partitions[0].buffered = 99
    assert not found.backlog_polled()
    found.partitions[0].buffered = 100
    assert [found.backlog_polled() for _ in range(2)] == [True, False]
    found.rewind(StartOffset(LOG, 5))
    assert not found.backlog_polled()


def test_a_database_that_knows_less_means_a_rewind() -> None:
    found = assignment()
    (start,) = found.compare({LOG.id: 4}, found.epoch)
    assert start[:2] == (LOG, 4)
    found.rewind(start)
    assert (found.partitions[0].buffered, found.partitions[0].written) == (4, 4)
    # the broker has a later offset, which no longer holds
    assert found.to_commit(acked=False) == {LOG: 4}


def test_what_the_database_lacks_and_the_log_no_longer_has_is_a_loss() -> None:
    with pytest.raises(OffsetsLostError, match="was it restored"):
        assignment(low=6).compare({LOG.id: 4}, 99)
    (start,) = assignment(low=6, accept_loss=True).compare({LOG.id: 4}, 99)
    assert start[:2] == (LOG._replace(incarnation=1), 6)


def test_a_newer_incarnation_in_the_database_is_continued_and_compared_with() -> None:
    assert assignment().compare({NEWER.id: 10}, 99) == [StartOffset(NEWER, 10)]
    (start,) = assignment().compare({NEWER.id: 3}, 99)
    assert start[:2] == (NEWER, 3)


def test_a_loss_accepted_on_a_commit_that_names_no_log_begins_an_incarnation_that_nobody_knows() -> None:
    found = assignment(CommittedOffset(3), low=5, accept_loss=True)
    assert found.partitions[0].log.incarnation == 1
    (start,) = found.compare({NEWER.id: 5}, 99)
    assert start[:2] == (LOG._replace(incarnation=3), 5)


def test_without_a_commit_the_progress_of_a_deleted_topic_is_a_loss() -> None:
    with pytest.raises(OffsetsLostError, match="was made again"):
        assignment(CommittedOffset()).compare({"t/old/0": 7}, 99)
    # with a commit, the group has decided already
    assert assignment().compare({"t/old/0": 7, LOG.id: 10}, 99) == []


def test_the_lag_counts_what_is_not_written() -> None:
    found = assignment()
    assert found.lag(lambda number: 25) == {0: 15}
    assert found.lag(lambda number: 0) == {0: 0}


def test_the_topic_is_that_of_a_partition_that_is_there() -> None:
    found = assignment()
    assert found.topic_id == "id"
    found.remove({0})
    assert found.topic_id is None
