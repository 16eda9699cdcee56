"""What was counted in each part. Times are in seconds unless the name says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from jobstatus_demo.errors import DemoError
from jobstatus_demo.worker import Work


@dataclass(frozen=True)
class Calls:
    """What `update_job_status` cost all workers together."""

    calls: int
    failed: int
    p50_micros: float
    p99_micros: float
    total_seconds: float

    @classmethod
    def of(cls, results: Sequence[Work]) -> Self:
        """The sum of what each worker measured; raises `DemoError` if no call succeeded."""
        nanos = sorted(nanos for result in results for nanos in result.nanos)
        failed = sum(result.failed for result in results)
        if not nanos:
            why = next((result.last_error for result in results if result.last_error), "no time")
            raise DemoError(f"not one update went through: {why}")
        return cls(len(nanos), failed, _at(nanos, 0.50) / 1000, _at(nanos, 0.99) / 1000, sum(nanos) / 1e9)


def _at(ordered: Sequence[int], share: float) -> int:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True)
class Cost:
    """What a part cost the database and the workers."""

    updates: int
    """written in this part"""
    seconds: float
    """from the first call to the last row"""
    connections: int
    """opened in this part"""
    most_connections: int
    """open at one moment, at most"""
    transactions: int
    """those that wrote"""
    xids: int
    """transaction ids that the whole server gave out meanwhile, for comparison"""
    calls: Calls


@dataclass(frozen=True)
class Crash:
    """The SIGKILL half way, in numbers of events."""

    written: int
    """in the table when the consumer was dead, by the database's own progress table"""
    reported_meanwhile: int
    """reported by the workers while no consumer had the partitions"""
    seconds_without: float
    """from the kill to the next event in the table"""


@dataclass(frozen=True)
class After:
    """The second part."""

    cost: Cost
    batches: int
    crash: Crash
    redelivered: int
    """written but not yet committed when the consumer was killed, so that the second consumer read them again"""
    gone_back: list[str]
    looks: int
    workers_seconds: float
    consumer: dict[str, object]
    """the summary that the second consumer printed"""
