"""Records that go straight from a call to the Kafka client, and the way back of those that fail."""

from __future__ import annotations

from collections.abc import Sequence

from jobstatus_producer.delivery.acks import Acks
from jobstatus_producer.delivery.backlog import Backlog
from jobstatus_producer.delivery.in_flight import MAX_TRY_SECONDS, InFlight, Room
from jobstatus_producer.delivery.kafka_client import KafkaClient
from jobstatus_producer.delivery.transport import Failure, FailureKind
from jobstatus_producer.record import Record


class FirstTries(InFlight):
    """What fails goes to the backlog. Each thread hands over its own records in the order of `seq`."""

    def __init__(self, client: KafkaClient, backlog: Backlog, acks: Acks, room: Room) -> None:
        """`room` is for what is in flight and what waits in memory, together."""
        super().__init__()
        self._room = room
        self._client = client
        self._backlog = backlog
        self._acks = acks
        self._one_failed = False
        """the records behind the one that failed must not overtake it"""
        self._in_refused_batches: list[int] = []
        """the `seq` of those that failed with a batch that the broker refused"""

    def hand_over_all(self, records: Sequence[Record]) -> bool:
        """Give `records` to the client. Never blocks. False: memory has no room for all of them, so none is given."""
        given = 0
        try:
            if not self._begin(records, self._room_left()):
                return False
            transport = self._client.transport
            for record in records:
                self._send(transport, record)
                given += 1
        except BaseException:
            # raised by a signal handler: the caller sees the exception
            self._give_up(records[given:])
            raise
        return True

    def fit_in_memory(self, records: Sequence[Record]) -> bool:
        """Whether memory has room for `records` at this moment. Never blocks."""
        most_events, most_bytes, any_size_alone = self._room_left()
        size = sum(len(record.value) for record in records)
        if len(self) + len(records) > most_events:
            return False
        return self.bytes + size <= most_bytes or (any_size_alone and not len(self))

    def _room_left(self) -> Room:
        waiting = self._backlog.in_memory
        if not waiting:
            return self._room
        events, size, _ = self._room
        return Room(events - waiting, size - self._backlog.bytes_in_memory, any_size_alone=False)

    def must_call_back(self) -> bool:
        """Whether all have to come back into the backlog: one failed, or was not acknowledged in time."""
        if self._one_failed or self._client.is_dead:
            return True
        # without a spool the Kafka client goes on trying; if it has nothing any more, callbacks were lost
        return self._is_overdue() and (self._backlog.has_spool or not len(self._client.transport))

    def call_back_failed(self, seconds: float) -> int:
        """Bring all back into the backlog, waiting up to `seconds` for the client's callbacks.

        Returns how many of them failed with a batch that the broker refused.
        """
        if not self._one_failed:
            self._acks.slow(f"not acknowledged within {MAX_TRY_SECONDS:g} s")
        self._one_failed = False
        self.call_back_all(seconds)
        found, self._in_refused_batches = self._in_refused_batches, []
        return len(found)

    def call_back_all(self, seconds: float) -> None:
        """Bring all back into the backlog, and what is in memory to the spool, waiting up to `seconds`."""
        self._backlog.hold(self.call_back(self._client.transport, seconds))
        self._backlog.move_to_spool()

    def _delivered(self, record: Record) -> None:
        self._acks.delivered(record)

    def _failed(self, record: Record, failure: Failure) -> None:
        if failure.kind is FailureKind.REFUSED:
            self._acks.refused(record, failure, kept=self._backlog.refuse(record, failure.text))
            return
        self._backlog.hold([record])
        if failure.kind is FailureKind.PURGED:
            return
        if failure.kind is FailureKind.BATCH_REFUSED:
            self._in_refused_batches.append(record.seq)
        self._client.note(failure)
        self._one_failed = True
        self._acks.failed(failure)
