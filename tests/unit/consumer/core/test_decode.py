"""Bytes to an event, or to a rejected record with stage and reason."""

from __future__ import annotations

import uuid
from typing import Any

from jobstatus_consumer.core.decode import Decoder
from jobstatus_consumer.records import Event, RawRecord, Rejected
from jobstatus_schemas import JobStatusEvent, encode

EVENT = JobStatusEvent(str(uuid.UUID(int=5)), "jöb", "processing", None, 2, "w", 1_700_000_000_123_456)


def raw(event: JobStatusEvent = EVENT, **changes: Any) -> RawRecord:
    made = RawRecord("t", 1, 7, 1_700_000_000_200, event.job_id.encode(), encode(event), (), "t/id/1")
    return made._replace(**changes)


def rejected(record: RawRecord, allowed: set[str] | None = None) -> tuple[str, str]:
    found = Decoder(statuses=allowed).decode(record)
    assert isinstance(found, Rejected)
    assert found.raw is record
    assert "jöb" not in found.detail
    return found.stage, found.reason


def test_an_event_keeps_its_fields_and_gets_its_position() -> None:
    found = Decoder().decode(raw())
    assert isinstance(found, Event)
    assert found.content == EVENT
    assert (found.job_id, found.status, found.attempt) == ("jöb", "processing", 2)
    assert (found.log_id, found.offset, found.late) == ("t/id/1", 7, False)
    assert found.time == EVENT.occurred_at


def test_a_clock_in_the_future_counts_no_more_than_the_append() -> None:
    found = Decoder().decode(raw(timestamp=1_699_999_999_000))
    assert isinstance(found, Event)
    assert found.content.occurred_at == EVENT.occurred_at
    assert found.time == 1_699_999_999_000_999


def test_a_record_without_a_timestamp_counts_by_its_event() -> None:
    found = Decoder().decode(raw(timestamp=-1))
    assert isinstance(found, Event)
    assert found.time == EVENT.occurred_at


def test_the_late_header_is_seen_whatever_its_value() -> None:
    for value in (b"1", b"", None):
        found = Decoder().decode(raw(headers=(("x", b""), ("jobstatus.late", value))))
        assert isinstance(found, Event)
        assert found.late


def test_what_is_no_event_is_rejected_with_a_reason() -> None:
    assert rejected(raw(value=None)) == ("decode", "no_value")
    assert rejected(raw(value=b"")) == ("decode", "not_avro_single_object")
    assert rejected(raw(value=encode(EVENT) + b"\x00")) == ("decode", "trailing_bytes")
    assert rejected(raw(key=None)) == ("validate", "key_is_not_job_id")
    assert rejected(raw(key=b"other")) == ("validate", "key_is_not_job_id")
    assert rejected(raw(), {"success"}) == ("validate", "out_of_contract")


def test_fields_out_of_the_contract_are_rejected() -> None:
    wrong: tuple[dict[str, Any], ...] = (
        {"event_id": "17"},
        {"status": ""},
        {"status": "x" * 65},
        {"status": "a\x00"},
        {"attempt": -1},
        {"worker_id": ""},
        {"occurred_at": -1},
        {"occurred_at": 2**60},
        {"job_id": "x" * 513},
    )
    for changes in wrong:
        assert rejected(raw(EVENT._replace(**changes))) == ("validate", "out_of_contract")
