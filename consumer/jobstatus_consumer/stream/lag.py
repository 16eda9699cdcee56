"""How far the table is behind the log: events that are not written, and the age of the oldest one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from jobstatus_consumer.records import RawRecord


class Lag(NamedTuple):
    """What is not written: by partition the number of offsets, and the age of the oldest event in seconds."""

    by_partition: Mapping[int, int]
    oldest_seconds: float

    @property
    def events(self) -> int:
        """The offsets of all partitions that are not written."""
        return sum(self.by_partition.values())


class LagWatch:
    """Makes a `Lag` each time it is given what is not written.

    A record that was read says how old it is. Of a partition that is behind although nothing of it was read, the age
    counts from when that was first seen, so the true age may be higher.
    """

    def __init__(self) -> None:
        # by partition: up to which offset all was written when it was first seen to be behind, and when that was
        self._behind: dict[int, tuple[int, float]] = {}

    def measured(
        self, lag: Mapping[int, int], written: Mapping[int, int], unwritten: Iterable[RawRecord], now: float
    ) -> Lag:
        """The lag at `now` (seconds since 1970): `written` are next offsets, `unwritten` the records that were read."""
        since = {number: self._behind_since(number, written[number], now) for number, count in lag.items() if count}
        self._behind = {number: self._behind[number] for number in since}
        for raw in unwritten:
            if 0 < raw.timestamp < since.get(raw.partition, 0.0) * 1000:
                since[raw.partition] = raw.timestamp / 1000
        return Lag(lag, max((now - at for at in since.values()), default=0.0))

    def _behind_since(self, number: int, written: int, now: float) -> float:
        known = self._behind.get(number)
        if known is None or known[0] != written:
            known = self._behind[number] = (written, now)
        return known[1]
