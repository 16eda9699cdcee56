"""Events, batches and logs for tests, with everything that does not matter filled in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID, uuid5

from jobstatus_consumer.records import Batch, Event, Log, LogRange, RawRecord
from jobstatus_schemas import JobStatusEvent

LOG_A = Log("job-status", "AAAAAAAAAAAAAAAAAAAAAA", 0).id
LOG_B = Log("job-status", "BBBBBBBBBBBBBBBBBBBBBB", 0).id
NOON = 1_767_268_800_000_000  # microseconds; 2026-01-01 12:00 UTC
NAMESPACE = UUID(int=17)


def event(
    job_id: str = "job-1",
    offset: int = 0,
    *,
    attempt: int | None = None,
    time: int = 0,
    ahead: int = 0,
    late: bool = False,
    log_id: str = LOG_A,
    status: str = "processing",
    error_message: str | None = None,
) -> Event:
    """An event with an id and a worker that tell its position.

    `time` counts in microseconds from noon, and `ahead` of it was the clock that stamped it.
    """
    raw = RawRecord("job-status", 0, offset, -1, job_id.encode("utf-8", "replace"), b"value", (), log_id)
    content = JobStatusEvent(
        event_id=str(uuid5(NAMESPACE, f"{log_id} {offset}")),
        job_id=job_id,
        status=status,
        error_message=error_message,
        attempt=attempt,
        worker_id=f"worker of {offset}",
        occurred_at=NOON + time + ahead,
    )
    return Event(content, NOON + time, late, log_id, offset, raw)


def saying(item: Event, **fields: Any) -> Event:
    """The event at the same position, with other content."""
    return item._replace(content=item.content._replace(**fields))


def batch(events: Iterable[Event], ranges: Sequence[LogRange] | None = None) -> Batch:
    """A batch with the span that its events take in each log, unless other spans are given."""
    events = list(events)
    return Batch(events, (), spans_of(events) if ranges is None else ranges)


def spans_of(events: Sequence[Event]) -> list[LogRange]:
    offsets: dict[str, list[int]] = {}
    for item in events:
        offsets.setdefault(item.log_id, []).append(item.offset)
    return [LogRange("job-status", 0, log_id, min(found), max(found) + 1) for log_id, found in offsets.items()]
