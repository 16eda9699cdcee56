"""The event that workers and the consumer group share: its fields, its Avro schema, its bytes."""

from __future__ import annotations

from typing import Final

from jobstatus_schemas.codec import Codec
from jobstatus_schemas.errors import UndecodableError
from jobstatus_schemas.event import JobStatusEvent
from jobstatus_schemas.framing import Confluent, Framing, SingleObject
from jobstatus_schemas.framing.confluent import FIRST_BYTE
from jobstatus_schemas.schema import plain_schema_text, schema_fingerprint, schema_text

__all__ = [
    "CODEC",
    "Codec",
    "Confluent",
    "Framing",
    "JobStatusEvent",
    "SingleObject",
    "UndecodableError",
    "decode",
    "encode",
    "plain_schema_text",
    "schema_fingerprint",
    "schema_text",
]

CODEC: Final = Codec(SingleObject(), {FIRST_BYTE: Confluent()})
"""The codec that producers and consumers use unless they are given another: Avro's single-object encoding.

A value in Confluent's framing is refused, with the schema's id and the setting that has it read.
"""
encode: Final = CODEC.encode
decode: Final = CODEC.decode
