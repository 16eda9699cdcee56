"""The loop and the group member together, over a client that is a fake: partitions come, go, and come again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.core.dead_letter_budget import Budget
from jobstatus_consumer.core.start_offsets import Watermarks
from jobstatus_consumer.errors import OffsetsLostError
from jobstatus_consumer.kafka.ends import EndOffsets
from jobstatus_consumer.kafka.group_consumer import GroupConsumer
from jobstatus_consumer.records import Batch, LogRange, Written
from jobstatus_consumer.stream.pipeline import Pipeline
from jobstatus_consumer.stream.run_stats import RunStats
from jobstatus_consumer.stream.tasks import (
    IN_HAND,
    BatchReturned,
    BatchWritten,
    ProgressRead,
    ReadProgress,
    Result,
    Task,
)
from jobstatus_consumer.telemetry.metrics import Metrics

SETTINGS = load_settings({"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, {"batch_linger_seconds": 0})


class FakeClient:
    """The Kafka client's interface; what it polls is given by the test."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.before_poll: Callable[[], None] = lambda: None
        self.start = -1001
        self.before_consume: Callable[[], None] = lambda: None
        self.sought: list[tuple[int, int]] = []
        self.paused: set[int] = set()
        self.commits: list[tuple[int, int, str]] = []
        self.member: str | None = "member"

    def subscribe(self, topics: list[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        def partitions_to(callback: Any) -> Callable[..., None]:
            return lambda *numbers: callback(self, [TopicPartition(topics[0], number) for number in numbers])

        self.assign, self.revoke, self.lose = map(partitions_to, (on_assign, on_revoke, on_lost))

    def poll(self, timeout: float) -> Any:
        before, self.before_poll = self.before_poll, lambda: None
        before()
        return self.messages.pop(0) if self.messages else None

    def consume(self, limit: int, timeout: float) -> list[Any]:
        before, self.before_consume = self.before_consume, lambda: None
        before()
        found, self.messages = self.messages[:limit], self.messages[limit:]
        return found

    def committed(self, wanted: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        for item in wanted:
            item.offset = self.start
        return wanted

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        self.commits += [(item.partition, item.offset, str(item.metadata)) for item in offsets]
        return offsets

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        """Nothing to do."""

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {item.partition for item in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {item.partition for item in partitions}

    def seek(self, partition: TopicPartition) -> None:
        self.sought.append((partition.partition, partition.offset))

    def get_watermark_offsets(self, partition: TopicPartition, cached: bool) -> None:
        return None

    def memberid(self) -> str | None:
        return self.member


class FakeTopics:
    def __init__(self) -> None:
        self.id = "A"
        self.ends = EndOffsets(lambda numbers: {})

    def topic_id(self, name: str) -> str:
        return self.id

    def watermarks(self, name: str, numbers: Iterable[int]) -> dict[int, Watermarks]:
        return {number: Watermarks(0, 100) for number in numbers}

    def watch(self, name: str) -> str:
        return self.id


class Message:
    """A message that does not decode."""

    def __init__(self, partition: int, offset: int) -> None:
        self._partition, self._offset = partition, offset

    def error(self) -> None:
        return None

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return (1, 0)

    def key(self) -> bytes:
        return b"job"

    def value(self) -> bytes:
        return b"no event"

    def headers(self) -> None:
        return None

    def leader_epoch(self) -> None:
        return None


class FakeWriter:
    """Keeps each task until the test gives its result."""

    alive, outage, settling = True, None, None

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.results: list[Result] = []
        self.busy = False

    def submit(self, task: Task) -> None:
        self.busy = True
        self.tasks.append(task)

    def result(self, timeout: float) -> Result | None:
        if not self.results:
            return None
        self.busy = False
        return self.results.pop(0)

    def batch(self, number: int = -1) -> Batch:
        task = self.tasks[number]
        assert isinstance(task, Batch)
        return task

    def cut_if_overdue(self) -> None:
        """Nothing to do."""


class Member:
    """The loop over the fakes, on a clock that moves one second with each step."""

    def __init__(self, window: int = 1) -> None:
        self.client, self.topics, self.writer = FakeClient(), FakeTopics(), FakeWriter()
        self.now = 0.0
        client: Any = self.client
        topics: Any = self.topics
        writer: Any = self.writer
        make: Callable[[dict[str, Any]], Consumer] = lambda _properties: client  # noqa: E731 - typed here
        consumer = self.consumer = GroupConsumer(SETTINGS, topics, make)
        stats, budget = RunStats(Metrics()), Budget(100, 100)
        settings = SETTINGS.model_copy(update={"batches_in_flight": window})
        self.loop = Pipeline(settings, consumer, writer, stats, budget, lambda: self.now)
        consumer.subscribe(self.loop)

    def step(self, *results: Result) -> None:
        self.writer.results += results
        self.now += 1
        self.loop.step()

    def polls(self, *messages: Message) -> None:
        self.client.messages += messages
        self.step()


def written(batch: Batch) -> BatchWritten:
    return BatchWritten(batch, Written(0), 0)


def reading(*partitions: int, progress: Mapping[str, int] | None = None, window: int = 1) -> Member:
    """A member that may read these partitions."""
    member = Member(window)
    member.client.assign(*partitions)
    member.step()
    assert member.writer.tasks == [ReadProgress()]
    member.step(ProgressRead(progress or {}))
    return member


def test_a_partition_that_is_gone_says_nothing_of_the_topic() -> None:
    member = reading(0)
    member.client.lose(0)
    # deleted and created again while this member had nothing of it
    member.topics.id = "B"
    member.step()
    member.client.assign(1)
    member.step()
    member.topics.id = "C"
    with pytest.raises(OffsetsLostError, match="its id was B and is C"):
        member.step()


def test_a_batch_from_before_a_revocation_moves_no_offset_after_it() -> None:
    member = reading(0)
    member.polls(Message(0, 0), Message(0, 1))
    batch = member.writer.batch()
    member.client.lose(0)
    member.client.assign(0)
    member.step(written(batch))
    assert member.loop.assignment.partitions[0].written == 0
    assert member.client.commits == []


def test_on_a_new_connection_the_batch_is_submitted_again_without_another_question() -> None:
    member = reading(0)
    member.polls(Message(0, 0))
    batch = member.writer.batch()
    member.step(BatchReturned(batch, {"job-status/A/0": 0}))
    assert member.writer.tasks == [ReadProgress(), batch, batch]
    member.step(written(batch))
    assert [(partition, offset) for partition, offset, _ in member.client.commits] == [(0, 1)]


def test_a_database_that_forgot_is_seen_on_the_new_connection_and_the_rest_of_the_batch_is_written() -> None:
    member = reading(0, 1)
    member.polls(Message(0, 0), Message(1, 0))
    member.step(written(member.writer.batch()))
    member.polls(Message(0, 1), Message(1, 1))
    batch = member.writer.batch()
    member.step(BatchReturned(batch, {"job-status/A/0": 1, "job-status/A/1": 0}))
    # partition 1 is read again from offset 0; partition 0 goes on
    assert member.client.sought == [(1, 0)]
    assert list(member.writer.batch().ranges) == [LogRange("job-status", 0, "job-status/A/0", 1, 2)]
    member.step(written(member.writer.batch()))
    assert [member.loop.assignment.partitions[number].written for number in (0, 1)] == [2, 0]


def test_the_progress_of_a_new_connection_does_not_count_for_a_partition_assigned_since() -> None:
    member = reading(0)
    member.polls(Message(0, 0))
    batch = member.writer.batch()
    member.client.assign(1)
    member.step(BatchReturned(batch, {}))
    # partition 1 is asked about first, and only then the batch is submitted again
    assert member.writer.tasks[2:] == [ReadProgress()]
    member.step(ProgressRead({}))
    assert member.writer.tasks[2:] == [ReadProgress(), batch]


def test_a_batch_returned_inside_a_revocation_is_handled_after_the_poll() -> None:
    member = reading(0, 1)
    member.polls(Message(0, 0), Message(1, 0))
    member.step(written(member.writer.batch()))
    member.polls(Message(0, 1), Message(1, 1))
    member.writer.results.append(BatchReturned(member.writer.batch(), {"job-status/A/1": 0}))
    sought: list[list[tuple[int, int]]] = []
    submitted = len(member.writer.tasks)

    def revoke() -> None:
        member.client.revoke(0)
        sought.append(list(member.client.sought))

    member.client.before_poll = revoke
    member.step()
    # the client is not asked to seek inside its own callback
    assert sought == [[]]
    assert member.client.sought == [(1, 0)]
    # one partition is gone and the other is read again, so nothing of the batch is submitted again
    assert len(member.writer.tasks) == submitted


def ranges(member: Member, number: int) -> list[tuple[int, int, int]]:
    return [(item.partition, item.start, item.end) for item in member.writer.batch(number).ranges]


def test_several_batches_are_submitted_before_the_first_is_written_and_commits_follow_their_results() -> None:
    member = reading(0, window=2)
    for offset in range(4):
        member.polls(Message(0, offset))
    assert [ranges(member, number) for number in (1, 2, 3)] == [[(0, 0, 1)], [(0, 1, 2)], [(0, 2, 3)]]
    assert len(member.writer.tasks) == 4, "two are in flight and one is in hand, so the fourth batch waits for room"
    member.step(written(member.writer.batch(1)))
    assert ranges(member, 4) == [(0, 3, 4)]
    assert [offset for _, offset, _ in member.client.commits] == [1]
    member.step(written(member.writer.batch(2)), written(member.writer.batch(3)))
    assert [offset for _, offset, _ in member.client.commits] == [1, 3]


def test_all_batches_in_flight_come_back_and_are_submitted_again_in_order_without_what_is_read_again() -> None:
    member = reading(0, 1, window=3)
    for offset in range(3):
        member.polls(Message(0, offset), Message(1, offset))
    member.step(BatchReturned(member.writer.batch(1), {"job-status/A/0": 0}))
    assert member.client.sought == []
    assert ranges(member, -1) == [(0, 0, 1), (1, 0, 1)]
    member.polls(Message(0, 3))
    # what came back goes alone, and before what was polled since
    assert len(member.writer.tasks) == 5
    member.step(written(member.writer.batch()))
    assert ranges(member, -1) == [(0, 1, 2), (1, 1, 2)]
    member.step(BatchReturned(member.writer.batch(), {"job-status/A/0": 1, "job-status/A/1": 0}))
    assert member.client.sought == [(1, 0)]
    assert ranges(member, -1) == [(0, 1, 2)]
    member.step(written(member.writer.batch()))
    assert ranges(member, -1) == [(0, 2, 3)]
    member.step(written(member.writer.batch()))
    assert ranges(member, -1) == [(0, 3, 4)]


def test_a_revocation_waits_for_every_batch_of_the_partition_in_flight() -> None:
    member = reading(0, 1, window=4)
    member.polls(Message(0, 0))
    member.polls(Message(0, 1))
    member.polls(Message(1, 0))
    member.writer.results += [written(member.writer.batch(number)) for number in (1, 2, 3)]
    member.client.before_poll = lambda: member.client.revoke(0)
    committed: list[tuple[int, int]] = []
    remove = member.loop.assignment.remove

    def removing(numbers: Iterable[int]) -> None:
        committed.extend((partition, offset) for partition, offset, _ in member.client.commits)
        assert len(member.writer.results) == 1, "the batch of the other partition is not waited for"
        remove(numbers)

    member.loop.assignment.remove = removing  # type: ignore[method-assign]
    member.step()
    assert committed[-1] == (0, 2)


def test_what_comes_together_with_its_partition_is_kept_and_written_after_the_comparison() -> None:
    member = Member()
    member.client.before_poll = lambda: member.client.assign(0)
    member.polls(Message(0, 0))
    # neither a pause nor a seek: after each of them librdkafka waits for its next tick of a second
    assert (member.client.paused, member.client.sought) == (set(), [])
    assert member.writer.tasks == [ReadProgress()]
    member.step(ProgressRead({}))
    assert list(member.writer.batch().ranges) == [LogRange("job-status", 0, "job-status/A/0", 0, 1)]


def test_what_was_polled_before_the_comparison_is_dropped_where_the_database_lacks_more() -> None:
    member = Member()
    member.client.start = 5
    member.client.before_poll = lambda: member.client.assign(0)
    member.polls(Message(0, 5))
    member.step(ProgressRead({"job-status/A/0": 3}))
    assert member.client.sought == [(0, 3)]
    member.polls(Message(0, 3))
    assert list(member.writer.batch().ranges) == [LogRange("job-status", 0, "job-status/A/0", 3, 4)]


def test_a_record_that_may_be_from_before_the_assignment_is_read_again_and_others_are_kept() -> None:
    member = reading(0)
    member.client.before_consume = lambda: member.client.assign(1)
    member.polls(Message(0, 0), Message(1, 7))
    assert member.client.sought == [(1, 0)]
    member.step(ProgressRead({}))
    assert list(member.writer.batch().ranges) == [LogRange("job-status", 0, "job-status/A/0", 0, 1)]


def paused() -> Member:
    """A member that has paused partition 0: the writer has all that it takes, and the next batch is full."""
    member = reading(0)
    for offset in range(1 + IN_HAND):
        member.polls(Message(0, offset))
    member.polls(*[Message(0, 1 + IN_HAND + number) for number in range(SETTINGS.batch_max_events)])
    member.step()
    assert member.client.paused == {0}
    return member


def test_a_partition_that_comes_during_a_pause_is_paused_too() -> None:
    member = paused()
    member.client.before_poll = lambda: member.client.assign(1)
    member.step()
    assert member.client.paused == {0, 1}


def test_what_was_polled_of_a_partition_is_dropped_where_the_same_poll_revokes_it() -> None:
    member = reading(0, 1)
    member.client.before_consume = lambda: member.client.revoke(0)
    member.polls(Message(0, 0), Message(1, 0), Message(1, 1))
    assert [(item.partition, item.start, item.end) for item in member.writer.batch().ranges] == [(1, 0, 2)]


def test_what_is_polled_of_a_kept_partition_while_another_is_revoked_is_written() -> None:
    member = reading(0, 1)
    member.client.before_poll = lambda: member.client.revoke(1)
    member.polls(Message(0, 0), Message(0, 1))
    assert [(item.partition, item.start, item.end) for item in member.writer.batch().ranges] == [(0, 0, 1)]
    member.step(written(member.writer.batch()))
    assert [(item.partition, item.start, item.end) for item in member.writer.batch().ranges] == [(0, 1, 2)]
    assert len(member.writer.batch().rejected) == 1


def test_a_partition_that_was_lost_in_a_pause_is_fetched_when_it_comes_again() -> None:
    member = paused()
    member.client.lose(0)
    member.step(*[written(member.writer.batch(1 + number)) for number in range(1 + IN_HAND)])
    # the client keeps the pause, as librdkafka does
    assert member.client.paused == {0}
    member.client.assign(0)
    member.step()
    assert member.client.paused == set()


def test_a_commit_names_the_log_that_the_loop_reads() -> None:
    member = reading(0, progress={"job-status/A/0/3": 0})
    member.polls(Message(0, 0))
    assert [item.log_id for item in member.writer.batch().ranges] == ["job-status/A/0/3"]
    member.step(written(member.writer.batch()))
    assert member.client.commits == [(0, 1, '{"topic_id":"A","generation":3}')]


def outside(member: Member) -> float | None:
    return member.consumer.outside_since


def test_it_is_outside_the_group_until_an_assignment_and_after_a_loss() -> None:
    member = Member()
    assert outside(member) is not None, "it has only joined"
    member.client.assign()
    assert outside(member) is None, "an assignment without partitions is one, too"
    member.client.revoke()
    assert outside(member) is None, "the others it keeps"
    member.client.lose()
    assert outside(member) is not None


def test_a_member_without_partitions_that_the_group_expelled_is_outside() -> None:
    member = Member()
    member.client.assign()
    member.step()
    assert outside(member) is None
    member.client.member = None
    member.step()
    since = outside(member)
    assert since is not None
    member.step()
    assert outside(member) == since
    member.client.assign(0)
    assert outside(member) is None
