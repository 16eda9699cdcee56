"""Whether memory has room for more events."""

from __future__ import annotations

from collections.abc import Sequence

from jobstatus_producer.delivery.backlog import Backlog
from jobstatus_producer.delivery.in_flight import InFlight
from jobstatus_producer.record import Record
from jobstatus_producer.settings import ProducerSettings


def fit_in_memory(records: Sequence[Record], settings: ProducerSettings, in_flight: InFlight, backlog: Backlog) -> bool:
    """Whether `records` fit beside what is in flight and what waits in memory. Never blocks."""
    pending = len(in_flight) + backlog.in_memory
    if pending + len(records) > settings.max_pending_events:
        return False
    wanted = 0
    for record in records:
        wanted += len(record.value)
    # an event that is larger than the bound by itself is accepted where nothing else waits
    return not pending or in_flight.bytes + backlog.bytes_in_memory + wanted <= settings.max_pending_bytes
