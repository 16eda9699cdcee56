"""The codec against another implementation: bytes that avro-tools wrote, and bytes that it reads."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from contract import avro_tools, make_golden
from fastavro.schema import fingerprint, to_parsing_canonical_form
from jobstatus_schemas import JobStatusEvent, decode, encode, plain_schema_text, schema_fingerprint, schema_text
from jobstatus_schemas.event import SCHEMA_VERSIONS
from jobstatus_schemas.framing.single_object import HEADER_BYTES, MARKER

GOLDEN: dict[str, Any] = json.loads(make_golden.GOLDEN.read_text())
PUBLISHED = {"v1": ("09acb4d4adcb05b8", "3b5b5030b993f7cc")}
CASES = [(version, case) for version in SCHEMA_VERSIONS for case in GOLDEN[version]["cases"]]


@pytest.mark.parametrize(
    ("version", "case"), CASES, ids=lambda value: value["event"]["event_id"][-1:] if isinstance(value, dict) else value
)
def test_bytes_that_java_wrote_decode_to_the_event(version: str, case: dict[str, Any]) -> None:
    value = MARKER + schema_fingerprint(version) + bytes.fromhex(case["body"])
    assert decode(value) == JobStatusEvent(**case["event"])


@pytest.mark.parametrize("case", GOLDEN[SCHEMA_VERSIONS[-1]]["cases"], ids=lambda case: case["event"]["event_id"][-1:])
def test_our_bytes_are_those_that_java_wrote(case: dict[str, Any]) -> None:
    assert encode(JobStatusEvent(**case["event"]))[HEADER_BYTES:].hex() == case["body"]


def test_java_reads_what_we_write(tmp_path: Path) -> None:
    bodies = b"".join(encode(event)[HEADER_BYTES:] for event in make_golden.EVENTS)
    expected = [avro_tools.to_java_json(event) for event in make_golden.EVENTS]
    assert avro_tools.decode(bodies, SCHEMA_VERSIONS[-1], tmp_path) == expected


@pytest.mark.parametrize("version", SCHEMA_VERSIONS)
def test_java_confirms_the_fingerprint_in_the_header(version: str) -> None:
    # avro-tools prints the bytes as they stand in the header
    assert avro_tools.fingerprint(version) == schema_fingerprint(version).hex() == GOLDEN[version]["fingerprint"]


def test_the_golden_file_holds_every_event_and_every_version() -> None:
    assert sorted(GOLDEN) == sorted(SCHEMA_VERSIONS)
    assert [JobStatusEvent(**case["event"]) for case in GOLDEN["v1"]["cases"]] == list(make_golden.EVENTS)


@pytest.mark.parametrize("version", SCHEMA_VERSIONS)
def test_a_published_schema_is_never_edited(version: str) -> None:
    """By every byte of its file: a comment that changes would be harmless, but nobody could tell from here."""
    texts = schema_text(version), plain_schema_text(version)
    assert tuple(fingerprint(text, "SHA-256")[:16] for text in texts) == PUBLISHED[version]


@pytest.mark.parametrize("reader", SCHEMA_VERSIONS)
@pytest.mark.parametrize("writer", SCHEMA_VERSIONS)
def test_every_version_reads_every_other(writer: str, reader: str) -> None:
    wanted, written = (fastavro.parse_schema(json.loads(schema_text(version))) for version in (reader, writer))
    for case in GOLDEN[writer]["cases"]:
        found = fastavro.schemaless_reader(BytesIO(bytes.fromhex(case["body"])), written, wanted)
        assert isinstance(found, dict)
        assert found["job_id"] == case["event"]["job_id"]


def test_a_new_version_needs_defaults_for_what_it_adds() -> None:
    """So that the rule of mutual readability can be kept at all: fields without a default are in every version."""
    required = [
        {field["name"] for field in json.loads(schema_text(version))["fields"] if "default" not in field}
        for version in SCHEMA_VERSIONS
    ]
    assert all(names == required[0] for names in required)
    assert to_parsing_canonical_form(json.loads(schema_text("v1")))
