"""A Kafka client and a broker's log in memory, with the interface of the real transport."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from confluent_kafka import KafkaError
from jobstatus_consumer.core.decode import Decoder
from jobstatus_consumer.core.rule import RowState, advance, decide
from jobstatus_consumer.records import Event, RawRecord
from jobstatus_producer.delivery.transport import Done, Failure
from jobstatus_schemas.protocol import LATE_HEADER


class MemoryLog:
    """The log of a broker: what a client sent is in it, whether the broker's answer arrives or not."""

    def __init__(self) -> None:
        self.records: list[RawRecord] = []
        self.answers = True
        """whether acknowledgements arrive"""
        self.calls_back_purged = True
        """whether the client calls back for the records that are purged"""
        self.has_room = True
        """whether the client's queue takes another record"""
        self.cannot_take: set[bytes] = set()
        """the values for which the client raises"""
        self.polls = 0
        self.before_poll: Callable[[], None] = lambda: None

    def open(
        self, topic: str, properties: Mapping[str, str], max_records: int, on_error: Callable[[Failure], None]
    ) -> MemoryTransport:
        """A client of this broker; to be given as `open_transport`."""
        return MemoryTransport(self, topic)

    @property
    def events(self) -> list[Event]:
        """The events in the log."""
        found = [Decoder().decode(record) for record in self.records]
        assert all(isinstance(event, Event) for event in found)
        return [event for event in found if isinstance(event, Event)]

    def rows(self, job_id: str = "job") -> list[str]:
        """The statuses that the row of a job shows, one after the other."""
        state: RowState | None = None
        shown = []
        for event in self.events:
            if event.job_id != job_id:
                continue
            if decide(state, event) == "applied":
                shown.append(event.status)
            state = advance(state, event)
        return shown

    def shown(self) -> list[tuple[str, bool]]:
        """The status of each event, and whether it is marked as late."""
        return [(event.status, event.late) for event in self.events]


class MemoryTransport:
    """One client of a `MemoryLog`."""

    def __init__(self, log: MemoryLog, topic: str) -> None:
        self._log = log
        self._topic = topic
        self._under_way: list[Done] = []

    def send(self, key: bytes, value: bytes, done: Done, *, late: bool, traceparent: str | None) -> Failure | None:
        log = self._log
        if value in log.cannot_take:
            raise UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed")
        if not log.has_room:
            return Failure("the client's queue is full")
        headers = [(LATE_HEADER, b"1")] if late else []
        log.records.append(RawRecord(self._topic, 0, len(log.records), -1, key, value, headers, "t/id/0"))
        self._under_way.append(done)
        return None

    def poll(self, seconds: float) -> None:
        self._log.polls += 1
        self._log.before_poll()
        if self._log.answers:
            self.end(None)

    def find_broker(self) -> None:
        """There is nothing to find."""

    def reach(self, seconds: float) -> Failure | None:
        return None

    def not_ready(self, seconds: float) -> Failure | None:
        return None

    def purge(self) -> None:
        if self._log.calls_back_purged:
            self.end(KafkaError(KafkaError._PURGE_INFLIGHT))

    def close(self) -> None:
        self.purge()

    def __len__(self) -> int:
        return len(self._under_way)

    def end(self, error: KafkaError | None) -> None:
        """Call back for every record: acknowledged, or failed with `error`."""
        ended, self._under_way = self._under_way, []
        for done in ended:
            done(error, None)
