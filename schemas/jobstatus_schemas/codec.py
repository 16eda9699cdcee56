"""The codec: an event to the value of a Kafka record, and back.

The bytes of a value are a header, which a framing owns, and the event as an Avro record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from types import MappingProxyType
from typing import Final

import fastavro
from fastavro.read import SchemaResolutionError

from jobstatus_schemas.body import has_negative_branch, read_usual, write
from jobstatus_schemas.errors import UndecodableError
from jobstatus_schemas.event import JobStatusEvent
from jobstatus_schemas.framing import Framing, ReadFraming
from jobstatus_schemas.schema import Schema, newest_schema

_LONG_RUN: Final = re.compile(rb"[\x80-\xff]{9}")
"""Nine bytes that all announce another one: a number of ten bytes or more, or text that is not ASCII."""


class Codec:
    """Encodes events with the newest schema, and decodes what any schema that a framing knows has written.

    `also` are further framings that it reads, by the first byte of their values. Immutable, so threads may share it. No
    method blocks, unless a framing of `also` asks a registry.
    """

    def __init__(self, framing: Framing, also: Mapping[bytes, ReadFraming] = MappingProxyType({})) -> None:
        self._framing = framing
        self._also = also
        self._newest = newest_schema()
        self._header = framing.header(self._newest)
        self._size = framing.size

    def encode(self, event: JobStatusEvent) -> bytes:
        """The value for `event`, whose fields the caller has checked."""
        return write(self._header, event)

    def decode(self, value: bytes | None) -> JobStatusEvent:
        """The event in `value`, with its fields as they were sent; `check_event` checks them.

        Raises `UndecodableError` where `value` is anything but one whole event, and what `writer_of` of a framing of
        `also` raises.
        """
        if value is None:
            raise UndecodableError("no_value", "the value is null (a tombstone); a status event is wanted")
        if value.startswith(self._header):
            size = self._size
        else:
            framing = self._also.get(value[:1], self._framing)
            writer, size = framing.writer_of(value), framing.size
            if writer is not self._newest:
                return self._read(value, size, writer)
        usual = read_usual(value, size)
        if usual is not None:
            return usual
        event = self._read(value, size, self._newest)
        if write(value[:size], event) != value:
            _check_numbers(value, size)
        return event

    def _read(self, value: bytes, size: int, writer: Schema) -> JobStatusEvent:
        source = BytesIO(value)
        source.seek(size)
        # without a reader's schema fastavro skips the resolution, which costs more than the decoding
        reader = None if writer is self._newest else self._newest.parsed
        try:
            fields = fastavro.schemaless_reader(source, writer.parsed, reader)
        except SchemaResolutionError:
            detail = f"written with {writer.version}, which is no schema of a status event"
            raise UndecodableError("other_schema", detail) from None
        except Exception as error:  # noqa: BLE001 - fastavro raises whatever its reading ran into
            detail = f"the Avro body does not decode ({type(error).__name__}), {len(value)} bytes"
            raise UndecodableError("malformed", detail) from None
        unread = len(value) - source.tell()
        if unread:
            raise UndecodableError("trailing_bytes", f"{unread} bytes follow the event in {len(value)} bytes")
        return JobStatusEvent(**fields)  # type: ignore[arg-type]  # a record's fields, by name


def _check_numbers(value: bytes, size: int) -> None:
    """Refuse what fastavro reads as another number without an error; encoded again, such an event differs."""
    if _LONG_RUN.search(value):
        raise UndecodableError("malformed", f"a number of more than 64 bits in {len(value)} bytes")
    if has_negative_branch(value, size):
        # Python takes branch -1 for the last one
        raise UndecodableError("malformed", f"a union with a negative branch in {len(value)} bytes")
