"""Framings: the header of a value, and a codec that is handed another one."""

from __future__ import annotations

import fastavro
import pytest
from jobstatus_schemas import CODEC, Codec, JobStatusEvent, SingleObject, UndecodableError, schema_fingerprint
from jobstatus_schemas.body import write
from jobstatus_schemas.event import SCHEMA_VERSIONS
from jobstatus_schemas.framing.single_object import HEADER_BYTES, MARKER
from jobstatus_schemas.schema import Schema, load_schema, newest_schema

EVENT = JobStatusEvent(
    event_id="0f4c5d8e-0000-4000-8000-000000000000",
    job_id="job",
    status="ok",
    error_message="why " * 50,
    attempt=3,
    worker_id="w",
    occurred_at=1_700_000_000_000_000,
)
OLD = Schema(
    "v0",
    b"older --",
    fastavro.parse_schema(
        {
            "type": "record",
            "name": "jobstatus.JobStatusEvent",
            "fields": [
                {"name": "job_id", "type": "string"},
                {"name": "event_id", "type": "string"},
                {"name": "status", "type": "string"},
                {"name": "occurred_at", "type": "long"},
            ],
        }
    ),
)


class OneByte:
    """A framing for this test: the first byte says which schema it is."""

    size = 1

    def header(self, schema: Schema) -> bytes:
        return schema.version[1:].encode()

    def writer_of(self, value: bytes) -> Schema:
        if value[:1] == b"0":
            return OLD
        if value[:1] == b"1":
            return load_schema(SCHEMA_VERSIONS[0])
        raise UndecodableError("unknown_schema", "no schema of that number")


def test_a_single_object_begins_with_the_marker_and_the_fingerprint() -> None:
    header = MARKER + schema_fingerprint()
    assert SingleObject().header(newest_schema()) == header
    assert len(header) == SingleObject().size == HEADER_BYTES
    assert CODEC.encode(EVENT) == write(header, EVENT)
    assert SingleObject().writer_of(header) is newest_schema()


def test_a_codec_writes_and_reads_with_the_framing_it_is_given() -> None:
    codec = Codec(OneByte())
    for event in (EVENT, EVENT._replace(error_message=None)):
        value = codec.encode(event)
        assert value == write(OneByte().header(newest_schema()), event)
        assert codec.decode(value) == event
    with pytest.raises(UndecodableError, match="no schema of that number"):
        codec.decode(CODEC.encode(EVENT))
    with pytest.raises(UndecodableError, match="do not begin with C3 01"):
        CODEC.decode(codec.encode(EVENT))


def test_an_older_schemas_value_gets_the_defaults_of_the_newest() -> None:
    body = b"\x06job\x04id\x04ok\x02"
    assert Codec(OneByte()).decode(b"0" + body) == JobStatusEvent(
        event_id="id", job_id="job", status="ok", error_message=None, attempt=None, worker_id=None, occurred_at=1
    )


def test_the_events_fields_are_those_of_the_newest_schema_in_its_order() -> None:
    assert tuple(field["name"] for field in newest_schema().parsed["fields"]) == JobStatusEvent._fields
