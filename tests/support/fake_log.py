"""A topic that holds given events, for those who read a range of it without a broker."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from jobstatus_consumer.core.start_offsets import Watermarks
from jobstatus_consumer.operations.ranges import OffsetRange
from jobstatus_consumer.operations.scope import Scope
from jobstatus_consumer.records import Event, Log, RawRecord, Rejected

LOGS = {number: Log("job-status", "AAAAAAAAAAAAAAAAAAAAAA", number) for number in (0, 1)}


class FakeReader:
    """Gives the records of `chunks` that are in the ranges asked for; `high` is the end of each partition."""

    def __init__(self, chunks: Iterable[Sequence[Event]], high: int = 10) -> None:
        self.chunks = list(chunks)
        self.lows = dict.fromkeys(LOGS, 0)
        self.high = high
        self.reads = 0

    def watermarks(self) -> dict[int, Watermarks]:
        return {number: Watermarks(low, self.high) for number, low in self.lows.items()}

    def read(
        self, ranges: Sequence[OffsetRange], log_ids: Mapping[int, str], stop: Callable[[], bool]
    ) -> Iterator[list[RawRecord]]:
        wanted = {item.partition: item for item in ranges}
        assert all(item.start >= self.lows[item.partition] for item in ranges), "retention was faster"
        self.reads += 1
        for chunk in self.chunks:
            if stop():
                return
            raws = [event.raw for event in chunk]
            yield [raw for raw in raws if wanted[raw.partition].start <= raw.offset < wanted[raw.partition].end]


def scope_of(
    chunks: Iterable[Sequence[Event]],
    *,
    start: int = 0,
    end: int = 10,
    partitions: int = 1,
    allowed: Container[str] = (),
) -> Scope:
    """The scope of these events; a status beside those `allowed` makes a record that is no event."""
    decoder: Any = FakeDecoder(chunks, allowed)
    logs = {number: LOGS[number] for number in range(partitions)}
    ranges = [OffsetRange(number, start, end) for number in logs]
    return Scope("job-status", ranges, logs, decoder=decoder)


class FakeDecoder:
    """Finds the event of a record by its position."""

    def __init__(self, chunks: Iterable[Sequence[Event]], allowed: Container[str]) -> None:
        self._events = {(event.log_id, event.offset): event for chunk in chunks for event in chunk}
        self._allowed = allowed

    def decode(self, raw: RawRecord) -> Event | Rejected:
        event = self._events[raw.log_id, raw.offset]
        if self._allowed and event.status not in self._allowed:
            return Rejected(raw, "validate", "out_of_contract", "")
        return event
