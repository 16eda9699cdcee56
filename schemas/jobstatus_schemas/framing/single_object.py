"""Avro's single-object encoding: `C3 01`, the CRC-64-AVRO fingerprint of the writer's schema, then the body.

Source: the Avro 1.12 specification, "Single-object encoding". Any Avro library reads what this writes.
"""

from __future__ import annotations

from typing import Final

from jobstatus_schemas.errors import UndecodableError
from jobstatus_schemas.event import SCHEMA_VERSIONS
from jobstatus_schemas.schema import Schema, load_schema

MARKER: Final = b"\xc3\x01"
HEADER_BYTES: Final = 10
OTHER_FINGERPRINTS: Final = {
    "v1": (
        bytes.fromhex("4158ee4c8f676caf"),  # github.com/hamba/avro 2.31
        bytes.fromhex("a15c962d0d0626e3"),  # github.com/linkedin/goavro 2.15
    ),
}
"""What two Go libraries compute for the same file. They keep logical types, and the specification leaves them out.

The body is the same with and without logical types. `tests/contract/golden_clients.json` holds bytes of both libraries.
"""


class SingleObject:
    """Knows every published schema by its fingerprint, and by what other libraries compute instead of it."""

    size: Final = HEADER_BYTES

    def __init__(self) -> None:
        self._schemas = {
            fingerprint: schema
            for schema in map(load_schema, SCHEMA_VERSIONS)
            for fingerprint in (schema.fingerprint, *OTHER_FINGERPRINTS.get(schema.version, ()))
        }

    def header(self, schema: Schema) -> bytes:
        """The marker and the fingerprint of `schema`: 10 bytes."""
        return MARKER + schema.fingerprint

    def writer_of(self, value: bytes) -> Schema:
        """The schema whose fingerprint is in the header of `value`.

        Raises `UndecodableError`: `not_avro_single_object` or `unknown_schema`.
        """
        if value[:2] != MARKER or len(value) < HEADER_BYTES:
            detail = f"{len(value)} bytes that do not begin with C3 01 and a fingerprint"
            raise UndecodableError("not_avro_single_object", detail)
        fingerprint = value[2:HEADER_BYTES]
        schema = self._schemas.get(fingerprint)
        if schema is None:
            detail = f"written with a schema of fingerprint {fingerprint.hex()}, which is not known here"
            raise UndecodableError("unknown_schema", detail)
        return schema
