"""The tasks that the writer has, and the batches that it gave back. Pure: it knows neither Kafka nor the writer.

    submitted    the writer has it, and its result comes after those of the tasks before it
    returned     the writer gave it back unwritten; it is submitted again before anything newer

Up to `limit` batches are submitted at once. A question comes alone, and so does each batch that was returned.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from jobstatus_consumer.records import Batch
from jobstatus_consumer.stream.tasks import Task

ChangedSince = Callable[[int, Collection[int]], set[int]]


class Submitted(NamedTuple):
    """A task that the writer has, its partitions, and the assignment epoch at its submission."""

    task: Task
    partitions: frozenset[int]
    epoch: int

    @classmethod
    def at(cls, epoch: int, task: Task) -> Submitted:
        """The task as it is submitted now. The epoch shows later which partitions its result still counts for."""
        numbers = (item.partition for item in task.ranges) if isinstance(task, Batch) else ()
        return cls(task, frozenset(numbers), epoch)


class Window:
    """The batches between the one that is being filled and those that are written, oldest first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._submitted: deque[Submitted] = deque()
        self._returned: deque[Batch] = deque()

    @property
    def busy(self) -> bool:
        """Whether the writer has a task."""
        return bool(self._submitted)

    @property
    def takes_batch(self) -> bool:
        """Whether another batch may be submitted."""
        if not self._submitted:
            return True
        alone = self._returned or not isinstance(self._submitted[-1].task, Batch)
        return not alone and len(self._submitted) < self._limit

    def submit(self, submitted: Submitted) -> None:
        """Note a task that the writer gets."""
        self._submitted.append(submitted)

    def has_of(self, partitions: Collection[int]) -> bool:
        """Whether the writer has a batch with one of these partitions."""
        return any(not item.partitions.isdisjoint(partitions) for item in self._submitted)

    def answered(self) -> Submitted:
        """Take the oldest task: it has a result of its own."""
        return self._submitted.popleft()

    def given_back(self, changed_since: ChangedSince) -> int:
        """All tasks are unwritten. Keep their batches, but for partitions that were changed since their submission.

        Returns the epoch of the oldest one.
        """
        epoch = self._submitted[0].epoch
        # they are older than those that have been returned before
        for task, partitions, at in reversed(self._submitted):
            if isinstance(task, Batch) and (left := task.without(changed_since(at, partitions))) is not None:
                self._returned.appendleft(left)
        self._submitted.clear()
        return epoch

    def give_up(self) -> None:
        """All tasks are unwritten, and stay so."""
        self._submitted.clear()

    def next_returned(self) -> Batch | None:
        """Take the oldest batch that was returned."""
        return self._returned.popleft() if self._returned else None

    def forget(self, numbers: Collection[int]) -> None:
        """Drop what was returned of these partitions."""
        kept = (batch.without(numbers) for batch in self._returned)
        self._returned = deque(batch for batch in kept if batch is not None)

    def batches(self) -> Iterator[Batch]:
        """Every batch, the oldest first."""
        yield from (item.task for item in self._submitted if isinstance(item.task, Batch))
        yield from self._returned
