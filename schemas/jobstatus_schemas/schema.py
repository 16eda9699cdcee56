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
    return _file(f"job_status_event.{version}.avsc")


def plain_schema_text(version: str = SCHEMA_VERSIONS[-1]) -> str:
    """The schema of `version` without its logical types: the same bytes, the same fingerprint. Raises as `schema_text`.

    Some libraries compute another fingerprint for a schema with logical types, so clients in other languages use this.
    """
    return _file(f"job_status_event.{version}.plain.avsc")


def schema_fingerprint(version: str = SCHEMA_VERSIONS[-1]) -> bytes:
    """The CRC-64-AVRO fingerprint of `version`: 8 bytes, little-endian. Raises as `schema_text` does."""
    return _fingerprint(json.loads(schema_text(version)))


@cache
def load_schema(version: str) -> Schema:
    """The schema of `version`, read from its file. Raises as `schema_text` does."""
    # without logical types no datetime or UUID object is built for each event
    schema = json.loads(plain_schema_text(version))
    return Schema(version, _fingerprint(schema), fastavro.parse_schema(schema))


def newest_schema() -> Schema:
    """The schema that events are written with."""
    return load_schema(SCHEMA_VERSIONS[-1])


def _file(name: str) -> str:
    # importlib.resources would double the time that a worker's import of this package takes
    data = pkgutil.get_data(__package__, name)
    if data is None:
        raise FileNotFoundError(f"{name} is not in the package")
    return data.decode()


def _fingerprint(schema: Any) -> bytes:
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))
