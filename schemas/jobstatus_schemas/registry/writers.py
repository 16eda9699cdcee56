"""The text of a registry's schema becomes a `Schema` to read with."""

from __future__ import annotations

import json
from typing import Any

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from jobstatus_schemas.errors import UndecodableError
from jobstatus_schemas.event import SCHEMA_VERSIONS
from jobstatus_schemas.registry.sound import UnsoundError, check_sound
from jobstatus_schemas.schema import Schema, load_schema


def writer_schema(schema_id: int, text: str, kind: str = "AVRO") -> Schema:
    """The schema of `schema_id`; one of our published schemas if it is equal to it, so that it is read as fast.

    Raises `UndecodableError`, `other_schema`, which names the id: the schema is no Avro, or may not be used.
    """
    named = f"schema id {schema_id}"
    if kind != "AVRO":
        raise UndecodableError("other_schema", f"{named} is a schema of the kind {kind}; wanted Avro")
    try:
        found = json.loads(text)
        parsed = fastavro.parse_schema(_without_logical_types(found))
        check_sound(found)
        canonical = to_parsing_canonical_form(found)
    except UnsoundError as error:
        raise UndecodableError("other_schema", f"{named} is not used: {error}") from None
    except Exception as error:  # noqa: BLE001 - a stranger's text: whatever it is, the schema is no use
        raise UndecodableError("other_schema", f"{named} is no Avro schema ({type(error).__name__})") from None
    crc = bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))
    for ours in map(load_schema, SCHEMA_VERSIONS):
        if ours.fingerprint == crc:
            return ours
    return Schema(named, crc, parsed)


def _without_logical_types(schema: Any) -> Any:
    """Without them fastavro builds no `datetime` or `UUID` objects; the bytes are the same."""
    if isinstance(schema, list):
        return [_without_logical_types(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _without_logical_types(item) for name, item in schema.items() if name != "logicalType"}
