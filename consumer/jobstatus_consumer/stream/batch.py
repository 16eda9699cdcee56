"""When a batch is written, and which offsets it covers. Pure: the time is an argument."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

from jobstatus_consumer.config import Flush
from jobstatus_consumer.records import NO_EPOCH, Batch, Event, LogRange, RawRecord, Rejected, record_size

UNCOUNTED_BYTES: Final = 8 * 1024
"""Of one record's key and headers. librdkafka limits its queue by the bytes of values and by `queued.min.messages`."""


class BatchBuilder:
    """Fills one batch. It is full with `max_events` records, with `max_bytes`, or after `linger` seconds.

    The bytes are those of keys, values and headers. The age counts from the first record, by the caller's monotonic
    clock. With the flush `adaptive` a batch with a record is due as well while the writer is idle, which means that no
    batch is on its way to the database.
    """

    def __init__(self, max_events: int, max_bytes: int, linger: float, flush: Flush = "linger") -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._linger = linger
        self._adaptive = flush == "adaptive"
        self._reset()

    def _reset(self) -> None:
        self._records: list[Event | Rejected] = []
        # for each partition the range that its first record opened, and the current end of that range
        self._firsts: dict[int, LogRange] = {}
        self._ends: dict[int, int] = {}
        self._bytes = 0
        self._since: float | None = None

    def __len__(self) -> int:
        return len(self._records)

    @property
    def empty(self) -> bool:
        """True while the batch covers no offset."""
        return not self._ends

    @property
    def room(self) -> int:
        """How many more records fit, by count."""
        return self._max_events - len(self._records)

    def add(self, record: Event | Rejected, start: int, now: float) -> None:
        """Add `record`, and cover its partition from `start`, the end of what was covered before, gaps included."""
        raw = record.raw
        partition = raw.partition
        if partition in self._ends:
            self._ends[partition] = raw.offset + 1
        else:
            self.skip(LogRange(raw.topic, partition, raw.log_id, start, raw.offset + 1), now)
        self._records.append(record)
        self._bytes += record_size(raw)

    def skip(self, covered: LogRange, now: float) -> None:
        """Cover offsets without an event, such as transaction markers at the end of a log."""
        self._firsts.setdefault(covered.partition, covered)
        self._ends[covered.partition] = covered.end
        if self._since is None:
            self._since = now

    def raw_records(self) -> Iterator[RawRecord]:
        """The records so far, as they came."""
        for record in self._records:
            yield record.raw

    def hurry(self) -> None:
        """Make the batch due now, unless it covers nothing."""
        if self._since is not None:
            self._since = -math.inf

    @property
    def heavy(self) -> bool:
        """True when the batch is full by bytes."""
        return self._bytes >= self._max_bytes

    @property
    def uncounted(self) -> bool:
        """True when the Kafka client's own limit is none for records such as these: their bytes are in the headers."""
        most = UNCOUNTED_BYTES * len(self._records)
        if self._bytes <= most:
            return False  # the usual case, without a look at every record
        return self._bytes - sum(len(record.raw.value or b"") for record in self._records) > most

    def full(self, now: float) -> bool:
        """True when the batch has reached a limit: by count, by bytes, or by age."""
        return (
            len(self._records) >= self._max_events
            or self.heavy
            or (self._since is not None and now - self._since >= self._linger)
        )

    @property
    def awaits_writer(self) -> bool:
        """True when the batch is due as soon as the writer is idle. Offsets without a record change no row."""
        return self._adaptive and bool(self._records)

    def due(self, now: float, *, writer_idle: bool) -> bool:
        """True when the batch should be written now."""
        return not self.empty and (self.full(now) or (writer_idle and self.awaits_writer))

    def due_in(self, now: float) -> float | None:
        """Seconds until the batch is full by its age; None while it is empty."""
        return None if self._since is None else max(0.0, self._since + self._linger - now)

    def drop(self, partitions: set[int]) -> int:
        """Remove what came from `partitions`, and return how many records that was. They are delivered again."""
        if not partitions & self._ends.keys():
            return 0
        before = len(self._records)
        self._records = [record for record in self._records if record.raw.partition not in partitions]
        for partition in partitions & self._ends.keys():
            del self._firsts[partition], self._ends[partition]
        self._bytes = sum(record_size(record.raw) for record in self._records)
        if not self._ends:
            self._since = None
        return before - len(self._records)

    def take(self, epoch_before: Callable[[int, int], int] = lambda _partition, _offset: NO_EPOCH) -> Batch:
        """Return the batch as it is, and start an empty one. `epoch_before` is that of the record before an offset."""
        events = [record for record in self._records if type(record) is Event]
        rejected = [record for record in self._records if type(record) is Rejected]
        covered = [
            first._replace(end=self._ends[partition], epoch=epoch_before(partition, self._ends[partition]))
            for partition, first in self._firsts.items()
        ]
        batch = Batch(events, rejected, covered)
        self._reset()
        return batch
