"""When `--until-caught-up` ends: everything that was in the log at the start is written."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from jobstatus_consumer.kafka import CommittedOffset
from jobstatus_consumer.stream.assignment import Assignment, Compared

ASK_GROUP_EVERY: Final = 0.5
JOIN_WITHIN: Final = 30.0
"""In seconds. A member that gets no partition may never see an assignment."""


class GroupPort(Protocol):
    """What is asked of the group; `GroupConsumer` is one."""

    @property
    def rebalances(self) -> int:
        """How many times partitions were assigned, revoked or lost."""

    def committed(self, partitions: Iterable[int]) -> Mapping[int, CommittedOffset]:
        """What the group has committed, by partition."""


class CaughtUp:
    """Whether everything before `ends` is written: by this member, or by another member of the group.

    It is False until this member has joined. The group's commits alone do not say what the database has, nor whether
    the log is still the same.
    """

    def __init__(
        self,
        ends: Mapping[int, int],
        assignment: Assignment,
        group: GroupPort,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ends = ends
        self._assignment = assignment
        self._group = group
        self._clock = clock
        self._started = clock()
        self._asked_at = -math.inf

    def reached(self) -> bool:
        """True once all is written. May block for the broker's answer about other members' partitions."""
        if not self._group.rebalances and self._clock() - self._started < JOIN_WITHIN:
            return False
        mine = self._assignment.partitions
        if any(number in mine and not self._is_written(number) for number in self._ends):
            return False
        others = {number for number, end in self._ends.items() if number not in mine and end > 0}
        return not others or self._others_committed(others)

    def _is_written(self, number: int) -> bool:
        partition = self._assignment.partitions[number]
        is_sure = partition.compared is Compared.DONE and not self._assignment.is_cut(number)
        return is_sure and partition.written >= self._ends[number]

    def _others_committed(self, numbers: set[int]) -> bool:
        now = self._clock()
        if now - self._asked_at < ASK_GROUP_EVERY:
            return False
        self._asked_at = now
        found = self._group.committed(numbers)
        return all((found[number].offset or 0) >= self._ends[number] for number in numbers)
