"""One chunk of the backlog at the Kafka client, and which of its records failed."""

from __future__ import annotations

import time
from collections.abc import Callable

from jobstatus_producer.delivery.backlog import Chunk
from jobstatus_producer.delivery.in_flight import InFlight
from jobstatus_producer.delivery.transport import Failure, FailureKind, Transport
from jobstatus_producer.record import Record


class Sending(InFlight):
    """A chunk that is handed over when this is made. Used by the sender's thread alone.

    Each chunk has its own: a callback that comes after its chunk was called back changes nothing for the next one.
    """

    def __init__(self, chunk: Chunk, transport: Transport, now_micros: int) -> None:
        super().__init__()
        self.chunk = chunk
        self._transport = transport
        self._began = time.monotonic()
        self._failures: dict[int, Failure] = {}
        self.taken = [
            record.seq for record in chunk.records if self._try(record, late=chunk.is_late(record, now_micros))
        ]
        """the `seq` of the records that the client took"""

    def _try(self, record: Record, *, late: bool) -> bool:
        try:
            return self.hand_over(self._transport, record, late=late)
        except (TypeError, ValueError) as error:
            # a damaged spool may hold a record that the client cannot encode: it must not stop those behind it
            self._failures[record.seq] = Failure(f"the client cannot take it: {error}", FailureKind.REFUSED)
            return False

    def wait_until_ended(self, over: Callable[[], bool]) -> bool:
        """Block until every record has ended (True), or until `over()` (False)."""
        return self.wait(self._transport, over)

    def give_up(self, seconds: float) -> None:
        """Call back what has not ended, waiting up to `seconds` for the callbacks."""
        waited = time.monotonic() - self._began
        for record in self.call_back(self._transport, seconds):
            self._failures.setdefault(record.seq, Failure("no callback came", FailureKind.PURGED))
        for seq, failure in self._failures.items():
            if failure.kind is FailureKind.PURGED:
                self._failures[seq] = failure._replace(text=f"not acknowledged within {waited:.2g} s")

    def results(self) -> list[tuple[Record, Failure | None]]:
        """Each record with its failure, at the end; None means that the broker acknowledged it."""
        if len(self):
            raise RuntimeError("a record that is in flight has no result yet")
        return [(record, self._failures.get(record.seq)) for record in self.chunk.records]

    def _delivered(self, record: Record) -> None:
        """What did not fail is delivered: `results` needs no note of it."""

    def _failed(self, record: Record, failure: Failure) -> None:
        self._failures[record.seq] = failure
