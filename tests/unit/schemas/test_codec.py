"""The codec: every event comes back, and nothing else does."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobstatus_schemas import JobStatusEvent, UndecodableError, decode, encode
from jobstatus_schemas.errors import REASONS
from jobstatus_schemas.framing.single_object import HEADER_BYTES, MARKER
from jobstatus_schemas.schema import newest_schema

UTF8 = st.text(alphabet=st.characters(codec="utf-8"))
EVENTS = st.builds(
    JobStatusEvent,
    event_id=st.uuids().map(str),
    job_id=UTF8,
    status=UTF8,
    error_message=st.none() | UTF8,
    attempt=st.none() | st.integers(-(2**31), 2**31 - 1),
    worker_id=st.none() | UTF8,
    occurred_at=st.integers(-(2**63), 2**63 - 1),
)
EVENT = JobStatusEvent("0f4c5d8e-0000-4000-8000-000000000000", "job", "ok", "why", 3, "w", 1_700_000_000_000_000)


def reason_of(value: bytes | None) -> str:
    with pytest.raises(UndecodableError) as caught:
        decode(value)
    assert caught.value.reason in REASONS
    return caught.value.reason


def outcome_of(value: bytes) -> str:
    """Whatever else is raised fails the test."""
    try:
        decode(value)
    except UndecodableError as error:
        return error.reason
    return "an event"


@given(EVENTS)
def test_an_event_comes_back_as_it_was(event: JobStatusEvent) -> None:
    assert decode(encode(event)) == event


@given(st.text(max_size=200).map(lambda text: "x" * 60 + text))
def test_lengths_around_the_one_byte_bound_come_back(text: str) -> None:
    assert decode(encode(EVENT._replace(job_id=text))).job_id == text


def test_a_value_cut_at_any_length_is_refused() -> None:
    value = encode(EVENT)
    reasons = {length: reason_of(value[:length]) for length in range(len(value))}
    assert {reasons[length] for length in range(HEADER_BYTES)} == {"not_avro_single_object"}
    assert {reasons[length] for length in range(HEADER_BYTES, len(value))} == {"malformed"}


@pytest.mark.parametrize("trailing", [b"\x00", b"x" * 100, encode(EVENT)])
def test_trailing_bytes_are_refused(trailing: bytes) -> None:
    assert reason_of(encode(EVENT) + trailing) == "trailing_bytes"


def test_a_tombstone_is_refused() -> None:
    assert reason_of(None) == "no_value"


def test_a_value_of_another_schema_is_refused() -> None:
    other = fastavro.parse_schema({"type": "record", "name": "Other", "fields": [{"name": "n", "type": "long"}]})
    out = BytesIO()
    fastavro.schemaless_writer(out, other, {"n": 1})
    value = MARKER + bytes.fromhex(fastavro.schema.fingerprint(str(other), "CRC-64-AVRO")) + out.getvalue()
    assert reason_of(value) == "unknown_schema"


@pytest.mark.parametrize("value", [b"", b"{}", b"\x00\x00\x00\x00\x01abc", b"\xc3", b"\xc3\x02" + bytes(50)])
def test_bytes_without_the_header_are_refused(value: bytes) -> None:
    assert reason_of(value) == "not_avro_single_object"


@given(st.binary(max_size=300))
def test_a_random_blob_is_refused_or_is_an_event(blob: bytes) -> None:
    for value in (blob, encode(EVENT)[:HEADER_BYTES] + blob):
        assert outcome_of(value) in ("an event", *REASONS)


@given(st.integers(HEADER_BYTES, len(encode(EVENT)) - 1), st.integers(0, 255))
def test_a_byte_that_changed_is_refused_or_is_an_event(place: int, byte: int) -> None:
    value = bytearray(encode(EVENT))
    value[place] = byte
    assert outcome_of(bytes(value)) in ("an event", *REASONS)


def test_the_reason_holds_no_value_of_the_event() -> None:
    value = encode(EVENT._replace(error_message="card 4111"))
    for broken in (value[:-1], value + b"card"):
        with pytest.raises(UndecodableError) as caught:
            decode(broken)
        assert "card" not in str(caught.value)


def test_the_decoder_builds_no_datetime_and_no_uuid() -> None:
    event = decode(encode(EVENT))
    assert type(event.occurred_at) is int
    assert type(event.event_id) is str

    def types_in(schema: Any) -> list[Any]:
        if isinstance(schema, dict):
            return [*schema, *(found for value in schema.values() for found in types_in(value))]
        return [found for item in schema for found in types_in(item)] if isinstance(schema, list) else []

    assert "logicalType" not in types_in(newest_schema().parsed)


def test_fields_come_back_in_their_own_types() -> None:
    event = decode(encode(EVENT))
    types = {name: type(value) for name, value in event._asdict().items() if value is not None}
    assert types == {name: type(value) for name, value in EVENT._asdict().items() if value is not None}
    assert (types["job_id"], types["attempt"], types["occurred_at"]) == (str, int, int)
    assert EVENT._replace(error_message=None, attempt=None, worker_id=None) == decode(
        encode(EVENT._replace(error_message=None, attempt=None, worker_id=None))
    )


@pytest.mark.parametrize("branch", [b"\x01", b"\x03", b"\x81\x00"], ids=["-1", "-2", "-1 in two bytes"])
@pytest.mark.parametrize("size", [10, 70, 9000])
def test_a_branch_of_a_union_that_there_is_not_is_malformed(branch: bytes, size: int) -> None:
    event = JobStatusEvent(
        "00000000-0000-0000-0000-000000000001", "job-1", "error", "m" * size, None, None, 1_700_000_000_000_000
    )
    head, tail = encode(event._replace(error_message=None)), encode(event)
    at = len(head) - len(head.rpartition(b"error")[2])
    assert tail[at : at + 1] == b"\x02"
    with pytest.raises(UndecodableError) as caught:
        decode(tail[:at] + branch + tail[at + 1 :])
    assert caught.value.reason == "malformed"
