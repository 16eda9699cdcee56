"""A record's bytes to an event, or to a rejected record with stage and reason."""

from __future__ import annotations

from collections.abc import Container

from jobstatus_schemas.codec import UndecodableError
from jobstatus_schemas.codec import decode as decode_value
from jobstatus_schemas.event import check_event
from jobstatus_schemas.protocol import LATE_HEADER

from jobstatus_consumer.records import Event, RawRecord, Rejected


def decode(raw: RawRecord, allowed: Container[str] | None = None) -> Event | Rejected:
    """The event in `raw`, held to the contract; `allowed` are the statuses' words, where that is limited."""
    try:
        content = check_event(decode_value(raw.value), allowed)
    except UndecodableError as error:
        return Rejected(raw, "decode", error.reason, str(error), type(error).__name__)
    except (ValueError, TypeError) as error:
        return Rejected(raw, "validate", "out_of_contract", str(error), type(error).__name__)
    if raw.key is None or raw.key != content.job_id.encode():
        detail = "the record's key is not the event's job_id, so its order among that job's events is not kept"
        return Rejected(raw, "validate", "key_is_not_job_id", detail)
    time = content.occurred_at
    if raw.timestamp >= 0:
        # the end of the millisecond of the append: the broker's clock says no more than that
        time = min(time, raw.timestamp * 1000 + 999)
    late = bool(raw.headers) and any(name == LATE_HEADER for name, _ in raw.headers)
    return Event(content, time, late, raw.log_id, raw.offset, raw)
