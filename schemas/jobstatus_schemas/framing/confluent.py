"""Confluent's framing: a zero byte, the schema's id in a registry as four bytes, then the body.

Source: Confluent Schema Registry's documentation, "Wire format". A single-object value begins with another byte, so the
first byte alone tells which framing a value has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from jobstatus_schemas.errors import UndecodableError
from jobstatus_schemas.schema import Schema

FIRST_BYTE: Final = b"\x00"
HEADER_BYTES: Final = 5
LARGEST_ID: Final = 2**31 - 1

SchemaOf = Callable[[int], Schema]
"""The schema of an id. Raises `UndecodableError` where no event can be read with it, and what it likes for "later"."""


def header_of(schema_id: int) -> bytes:
    """The five bytes in front of a body that was written with the schema of this id."""
    return FIRST_BYTE + schema_id.to_bytes(4, "big")


def without_registry(schema_id: int) -> Schema:
    """Refuse the value: no registry is configured. Raises `UndecodableError`."""
    detail = f"Confluent framing, schema id {schema_id}; it is read if JOBSTATUS_SCHEMA_REGISTRY_URL is set"
    raise UndecodableError("not_avro_single_object", detail)


class Confluent:
    """Reads the framing. `schema_of` is asked once for each id that it knows. Threads may share it."""

    size: Final = HEADER_BYTES

    def __init__(self, schema_of: SchemaOf = without_registry) -> None:
        self._schema_of = schema_of
        self._schemas: dict[bytes, Schema] = {}

    def writer_of(self, value: bytes) -> Schema:
        """The schema whose id is in the header of `value`. Blocks as `schema_of` does, for an id that is new here.

        Raises `UndecodableError`: `malformed`, or what `schema_of` says; and what else that raises.
        """
        header = value[:HEADER_BYTES]
        schema = self._schemas.get(header)
        if schema is None:
            schema = self._schemas[header] = self._schema_of(_id_in(header))
        return schema


def _id_in(header: bytes) -> int:
    if len(header) < HEADER_BYTES:
        detail = f"Confluent framing that ends after {len(header)} of its {HEADER_BYTES} bytes"
        raise UndecodableError("malformed", detail)
    schema_id = int.from_bytes(header[1:], "big")
    if schema_id > LARGEST_ID:
        detail = f"Confluent framing, schema id {schema_id}; no registry has an id over {LARGEST_ID}"
        raise UndecodableError("unknown_schema", detail)
    return schema_id
