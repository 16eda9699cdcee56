"""The event that workers and the consumer group share: its fields, its Avro schema, its bytes."""

from __future__ import annotations

from jobstatus_schemas.codec import UndecodableError, decode, encode, schema_fingerprint, schema_text
from jobstatus_schemas.event import JobStatusEvent

__all__ = ["JobStatusEvent", "UndecodableError", "decode", "encode", "schema_fingerprint", "schema_text"]
