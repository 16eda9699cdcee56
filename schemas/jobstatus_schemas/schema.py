"""The published Avro schemas of the event: their files, their fingerprints, and their parsed form."""

from __future__ import annotations

import json
import pkgutil
from functools import cache
from typing import Any, NamedTuple

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from jobstatus_schemas.event import SCHEMA_VERSIONS


class Schema(NamedTuple):
    """One published version, ready to read and write with."""

    version: str
    fingerprint: bytes
    """8 bytes of CRC-64-AVRO, little-endian, as in the header of a single-object encoded value"""
    parsed: Any
    """for fastavro"""


def schema_text(version: str = SCHEMA_VERSIONS[-1]) -> str:
    """The text of the schema file of `version`. Raises `FileNotFoundError` for a version that was never published."""
    # importlib.resources would double the time that a worker's import of this package takes
    data = pkgutil.get_data(__package__, f"job_status_event.{version}.avsc")
    if data is None:
        raise FileNotFoundError(f"job_status_event.{version}.avsc is not in the package")
    return data.decode()


def schema_fingerprint(version: str = SCHEMA_VERSIONS[-1]) -> bytes:
    """The CRC-64-AVRO fingerprint of `version`: 8 bytes, little-endian. Raises as `schema_text` does."""
    return _fingerprint(json.loads(schema_text(version)))


@cache
def load_schema(version: str) -> Schema:
    """The schema of `version`, read from its file. Raises as `schema_text` does."""
    schema = json.loads(schema_text(version))
    return Schema(version, _fingerprint(schema), fastavro.parse_schema(_without_logical_types(schema)))


def newest_schema() -> Schema:
    """The schema that events are written with."""
    return load_schema(SCHEMA_VERSIONS[-1])


def _fingerprint(schema: Any) -> bytes:
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def _without_logical_types(schema: Any) -> Any:
    # the bytes are the same, and no datetime or UUID object is built for each event
    if isinstance(schema, dict):
        if "logicalType" in schema:
            return schema["type"]
        return {key: _without_logical_types(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_without_logical_types(item) for item in schema]
    return schema
