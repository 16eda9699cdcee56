"""Values in Confluent's framing, and schemas that other people register."""

from __future__ import annotations

import io
import json
from typing import Any, Final

import fastavro
from jobstatus_schemas import JobStatusEvent, encode, schema_text
from jobstatus_schemas.framing.single_object import HEADER_BYTES


def framed(schema_id: int, event: JobStatusEvent) -> bytes:
    """Our event, as a serializer of Confluent's writes it with our own schema."""
    return header(schema_id) + encode(event)[HEADER_BYTES:]


def framed_with(schema_id: int, schema: str, fields: Any) -> bytes:
    """`fields`, written with another schema."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(json.loads(schema)), fields)
    return header(schema_id) + body.getvalue()


def header(schema_id: int) -> bytes:
    return b"\x00" + schema_id.to_bytes(4, "big")


def changed(*, name: str = "JobStatusEvent", without: str = "", more: tuple[dict[str, Any], ...] = ()) -> str:
    """Our schema with another name, without a field, or with further ones in front."""
    found = json.loads(schema_text())
    found["name"] = name
    found["fields"] = [*more, *(field for field in found["fields"] if field["name"] != without)]
    return json.dumps(found)


TEAM: Final = {"name": "team", "type": "string"}
CAUSE: Final = {"name": "cause", "type": ["null", "JobStatusEvent"], "default": None}
NULLS: Final = {"name": "nulls", "type": {"type": "array", "items": "null"}, "default": []}
