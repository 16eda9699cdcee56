"""A record's bytes to an event, or to a rejected record with stage and reason."""

from __future__ import annotations

from collections.abc import Container

from jobstatus_schemas.codec import UndecodableError
from jobstatus_schemas.codec import decode as decode_value
from jobstatus_schemas.event import JobStatusEvent, check_event
from jobstatus_schemas.protocol import LATE_HEADER

from jobstatus_consumer.records import Event, RawRecord, Rejected


def decode(raw: RawRecord, allowed: Container[str] | None = None) -> Event | Rejected:
    """The event in `raw`, held to the contract; `allowed` are the statuses' words, where that is limited."""
    try:
        found = check_event(decode_value(raw.value), allowed)
    except UndecodableError as error:
        return Rejected(raw, "decode", error.reason, str(error), type(error).__name__)
    except (ValueError, TypeError) as error:
        return Rejected(raw, "validate", "out_of_contract", str(error), type(error).__name__)
    if raw.key is None or raw.key != found.job_id.encode():
        detail = "the record's key is not the event's job_id, so its order among that job's events is not kept"
        return Rejected(raw, "validate", "key_is_not_job_id", detail)
    return _positioned(found, raw)


def _positioned(found: JobStatusEvent, raw: RawRecord) -> Event:
    # up to the end of the append's millisecond: the broker's clock says no more than that
    appended = raw.timestamp * 1000 + 999
    return Event(
        found.job_id,
        found.status,
        found.error_message,
        found.attempt,
        found.worker_id,
        found.occurred_at,
        found.event_id,
        min(found.occurred_at, appended) if raw.timestamp >= 0 else found.occurred_at,
        bool(raw.headers) and any(name == LATE_HEADER for name, _ in raw.headers),
        raw.log_id,
        raw.offset,
        raw,
    )
