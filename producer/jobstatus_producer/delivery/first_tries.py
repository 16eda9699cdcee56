"""Records that go straight from a call to the Kafka client, and the way back of those that fail."""

from __future__ import annotations

from jobstatus_producer.delivery.acks import Acks
from jobstatus_producer.delivery.backlog import Backlog
from jobstatus_producer.delivery.in_flight import MAX_TRY_SECONDS, InFlight
from jobstatus_producer.delivery.kafka_client import KafkaClient
from jobstatus_producer.delivery.transport import Failure, FailureKind
from jobstatus_producer.record import Record


class FirstTries(InFlight):
    """What fails goes to the backlog. Handed over under the outbox's lock, in the order of `seq`."""

    def __init__(self, client: KafkaClient, backlog: Backlog, acks: Acks) -> None:
        super().__init__()
        self._client = client
        self._backlog = backlog
        self._acks = acks
        self._one_failed = False
        """the records behind the one that failed must not overtake it"""
        self._in_refused_batches: list[int] = []
        """the `seq` of those that failed with a batch that the broker refused"""

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
