"""What must be true of any payload, with fastavro's compiled reader and with its pure-Python one."""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any

from fastavro import _read_py
from fastavro.io.binary_decoder import BinaryDecoder
from jobstatus_consumer.core.decode import Decoder
from jobstatus_consumer.records import RawRecord
from jobstatus_schemas import JobStatusEvent, SingleObject, UndecodableError, decode, encode
from jobstatus_schemas.errors import REASONS
from jobstatus_schemas.schema import newest_schema

FRAMING = SingleObject()
DECODER = Decoder()


class StrictDecoder(BinaryDecoder):
    """Reads no negative branch of a union, which Python would take for one from the end."""

    def read_index(self) -> int:
        index = int(super().read_index())  # type: ignore[no-untyped-call]
        if index < 0:
            raise ValueError("a negative branch")
        return index


_read_py.BinaryDecoder = StrictDecoder  # type: ignore[attr-defined]

LONG_RUN = re.compile(rb"[\x80-\xff]{9}")
"""A number may have more than 64 bits only where nine bytes in a row announce another one."""


def compiled(value: bytes) -> JobStatusEvent | str:
    """The event, or the reason why there is none."""
    try:
        return decode(value)
    except UndecodableError as error:
        return error.reason


def pure(value: bytes) -> JobStatusEvent | str:
    """The same by the pure-Python reader."""
    try:
        writer = FRAMING.writer_of(value)
    except UndecodableError as error:
        return error.reason
    source = BytesIO(value)
    source.seek(FRAMING.size)
    try:
        fields: Any = _read_py.schemaless_reader(source, writer.parsed, newest_schema().parsed)
    except Exception:  # noqa: BLE001 - whatever its reading ran into
        return "malformed"
    if source.tell() != len(value):
        return "trailing_bytes"
    event = JobStatusEvent(**fields)
    same = encode(event)[FRAMING.size :] == value[FRAMING.size :]
    return event if same or not LONG_RUN.search(value) else "malformed"


def check(value: bytes) -> str:
    """Hold one payload to the claims; `good` or the reason it is refused for."""
    found = compiled(value)
    assert not isinstance(found, str) or found in REASONS
    other = pure(value)
    # why it is refused may differ: the compiled reader wraps a length of more than 64 bits around, and reads on
    refused = isinstance(found, str) and isinstance(other, str)
    assert refused or found == other, f"the readers differ: {found!r} and {other!r} on {value.hex()}"
    raw = RawRecord("t", 0, 0, 0, b"key", value, (), "t/id/0")
    DECODER.decode(raw)  # an event or a rejected record, never an exception
    return found if isinstance(found, str) else "good"
