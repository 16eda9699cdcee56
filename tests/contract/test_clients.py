"""What clients in other languages write: their golden bytes, and the vectors that are published for them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from contract import make_golden, make_golden_clients, make_vectors
from jobstatus_consumer.records import Event
from jobstatus_schemas import JobStatusEvent, decode, plain_schema_text, schema_fingerprint, schema_text
from jobstatus_schemas.errors import UndecodableError
from jobstatus_schemas.event import SCHEMA_VERSIONS
from jobstatus_schemas.framing.single_object import HEADER_BYTES, MARKER, OTHER_FINGERPRINTS
from jobstatus_schemas.schema import _fingerprint

CLIENTS: dict[str, list[str]] = json.loads(make_golden_clients.GOLDEN.read_text())
BODIES = [case["body"] for case in json.loads(make_golden.GOLDEN.read_text())["v1"]["cases"]]
VECTORS: dict[str, Any] = json.loads(make_vectors.VECTORS.read_text())
HEADERS = [(MARKER + name).hex() for name in (schema_fingerprint("v1"), *OTHER_FINGERPRINTS["v1"])]
HEADER_OF = {"hamba/avro (Go), logical types": HEADERS[1], "goavro (Go), logical types": HEADERS[2]}
LONG_NUMBERS = ("feffffffffff80808080808080808001", "ffffffffffffffffffff01")
"""Times of more than 64 bits, which fastavro reads as another number without an error."""


@pytest.mark.parametrize("name", CLIENTS)
def test_what_a_client_in_another_language_wrote_is_the_event(name: str) -> None:
    assert [decode(bytes.fromhex(value)) for value in CLIENTS[name]] == list(make_golden.EVENTS)


@pytest.mark.parametrize("name", CLIENTS)
def test_every_client_writes_the_same_body_whatever_it_computes_as_the_fingerprint(name: str) -> None:
    """So the other fingerprints are names of the same schema."""
    header = HEADER_OF.get(name, HEADERS[0])
    assert CLIENTS[name] == [header + body for body in BODIES]


def test_the_golden_bytes_are_of_every_client_that_is_asked_for_them() -> None:
    assert list(CLIENTS) == list(make_golden_clients.WRITERS)
    assert set(HEADER_OF) < set(CLIENTS)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("number", LONG_NUMBERS)
def test_a_number_of_more_than_64_bits_is_refused_behind_every_fingerprint(header: str, number: str) -> None:
    body = bytes.fromhex(BODIES[0])[:-8] + bytes.fromhex(number)
    with pytest.raises(UndecodableError) as caught:
        decode(bytes.fromhex(header) + body)
    assert caught.value.reason == "malformed"


@pytest.mark.parametrize("version", SCHEMA_VERSIONS)
def test_the_schema_without_logical_types_is_the_same_schema(version: str) -> None:
    logical, plain = json.loads(schema_text(version)), json.loads(plain_schema_text(version))
    assert "logicalType" not in plain_schema_text(version)
    assert _fingerprint(plain) == schema_fingerprint(version)
    assert [_bare(field) for field in logical["fields"]] == [_bare(field) for field in plain["fields"]]


def _bare(field: dict[str, Any]) -> dict[str, Any]:
    kind = field["type"]
    return {**field, "type": kind["type"] if isinstance(kind, dict) else kind, "doc": ""}


def test_the_published_vectors_are_what_the_code_makes() -> None:
    assert make_vectors.VECTORS.read_text() == make_vectors.made(), "run: python -m contract.make_vectors"


def test_the_consumer_takes_the_vectors_values_behind_each_header() -> None:
    assert [VECTORS["header"], *VECTORS["other_headers"]] == HEADERS
    for vector in VECTORS["values"]:
        for header in HEADERS:
            value = bytes.fromhex(header + vector["value"][2 * HEADER_BYTES :])
            found = make_vectors.outcome(bytes.fromhex(vector["key"]).decode(), value)
            assert isinstance(found, Event)
            assert found.content == JobStatusEvent(**vector["event"])


def test_the_page_of_the_wire_format_says_what_the_vectors_say() -> None:
    page = (make_vectors.VECTORS.parents[1] / "docs" / "reference" / "wire-format.md").read_text("utf-8")
    for header in HEADERS:
        assert header[4:] in page
    assert str(VECTORS["fingerprint_as_a_number"]) in page
    shown = set(re.findall(r"^\|.* \| `(\w+)` \|$", page, re.MULTILINE))
    assert {vector["reason"] for vector in VECTORS["refused"]} <= shown
