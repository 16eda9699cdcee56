"""How far the table is behind the log: events that are not written, and since when the oldest one waits. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from jobstatus_consumer.records import RawRecord


class Lag(NamedTuple):
    """What is not written, by partition: the number of offsets, and where it is not 0 since when the oldest waits.

    Times are in seconds since 1970-01-01 UTC.
    """

    by_partition: Mapping[int, int]
    since: Mapping[int, float]

    @property
    def events(self) -> int:
        """The offsets of all partitions that are not written."""
        return sum(self.by_partition.values())

    def seconds(self, now: float) -> dict[int, float]:
        """By partition the age of the oldest event that is not written; 0 if all are written."""
        return {number: max(0.0, now - self.since.get(number, now)) for number in self.by_partition}

    def oldest_seconds(self, now: float) -> float:
        """The age of the oldest of all."""
        return max(self.seconds(now).values(), default=0.0)


class LagWatch:
    """Makes a `Lag` each time it is given what is not written.

    A record that was read says how old it is. A partition of which nothing was read is behind since that was first
    seen, so its true age may be higher. If some of it was written meanwhile, it counts as behind since then all the
    same: in a long backlog an age that falls to 0 for a moment would end an alert.
    """

    def __init__(self) -> None:
        self._since: dict[int, float] = {}

    def measured(self, lag: Mapping[int, int], unwritten: Iterable[RawRecord], now: float) -> Lag:
        """The lag at `now` (seconds since 1970); `unwritten` are the records that were read and are not written."""
        read = _oldest(unwritten)
        behind = [number for number, count in lag.items() if count]
        self._since = {number: min(now, read.get(number, self._since.get(number, now))) for number in behind}
        return Lag(lag, self._since)


def _oldest(records: Iterable[RawRecord]) -> dict[int, float]:
    found: dict[int, float] = {}
    for raw in records:
        if raw.timestamp > 0:
            at = raw.timestamp / 1000
            found[raw.partition] = min(at, found.get(raw.partition, at))
    return found
