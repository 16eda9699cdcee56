"""When a batch is full, and which offsets it covers. Pure: the time is an argument."""

from __future__ import annotations

from jobstatus_consumer.records import Batch, Event, LogRange, RawRecord, Rejected


class BatchBuilder:
    """Fills one batch: full with `max_events` records, `max_bytes` of keys and values, or after `linger` seconds.

    The age counts from the first record, by the caller's monotonic clock.
    """

    def __init__(self, max_events: int, max_bytes: int, linger: float) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._linger = linger
        self._reset()

    def _reset(self) -> None:
        self._records: list[Event | Rejected] = []
        # for each partition the span that its first record opened, and where it ends by now
        self._firsts: dict[int, LogRange] = {}
        self._ends: dict[int, int] = {}
        self._bytes = 0
        self._since: float | None = None

    def __len__(self) -> int:
        return len(self._records)

    @property
    def empty(self) -> bool:
        """True where there is nothing to write and no offset to move."""
        return not self._ends

    @property
    def room(self) -> int:
        """How many records still fit, by count."""
        return self._max_events - len(self._records)

    def add(self, record: Event | Rejected, start: int, now: float) -> None:
        """Take `record`; `start` is the offset up to which its partition was covered before it (gaps belong to it)."""
        raw = record.raw
        partition = raw.partition
        if partition in self._ends:
            self._ends[partition] = raw.offset + 1
        else:
            self.skip(LogRange(raw.topic, partition, raw.log_id, start, raw.offset + 1), now)
        self._records.append(record)
        self._bytes += record_size(raw)

    def skip(self, span: LogRange, now: float) -> None:
        """Cover offsets in which there is nothing to write, such as transaction markers at the end of a log."""
        self._firsts.setdefault(span.partition, span)
        self._ends[span.partition] = span.end
        if self._since is None:
            self._since = now

    @property
    def heavy(self) -> bool:
        """True where the batch is full by bytes."""
        return self._bytes >= self._max_bytes

    def full(self, now: float) -> bool:
        """True where the batch is to be written now."""
        return (
            len(self._records) >= self._max_events
            or self.heavy
            or (self._since is not None and now - self._since >= self._linger)
        )

    def due_in(self, now: float) -> float | None:
        """Seconds until age alone makes the batch full; None while it is empty."""
        return None if self._since is None else max(0.0, self._since + self._linger - now)

    def drop(self, partitions: set[int]) -> int:
        """Forget what came from `partitions` (they come again elsewhere); how many records that was."""
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

    def take(self) -> Batch:
        """The batch as it stands, and an empty builder."""
        events = [record for record in self._records if type(record) is Event]
        rejected = [record for record in self._records if type(record) is Rejected]
        spans = [span._replace(end=self._ends[partition]) for partition, span in self._firsts.items()]
        batch = Batch(events, rejected, spans)
        self._reset()
        return batch


def record_size(raw: RawRecord) -> int:
    """The bytes of a record's key and value."""
    return len(raw.key or b"") + len(raw.value or b"")
