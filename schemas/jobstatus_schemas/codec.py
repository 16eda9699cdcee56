"""The codec: an event to the value of a Kafka record, and back.

The bytes of a value are a header, which the framing owns, and the event as an Avro record.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import Final

import fastavro

from jobstatus_schemas.body import has_negative_branch, read_usual, write
from jobstatus_schemas.errors import UndecodableError
from jobstatus_schemas.event import JobStatusEvent
from jobstatus_schemas.framing import Framing
from jobstatus_schemas.schema import Schema, newest_schema

_LONG_RUN: Final = re.compile(rb"[\x80-\xff]{9}")
"""Nine bytes that all announce another one: a number of ten bytes or more, or text that is not ASCII."""


class Codec:
    """Encodes events with the newest schema, and decodes what any schema that the framing knows has written.

    Immutable, so threads may share it. No method blocks.
    """

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._newest = newest_schema()
        self._header = framing.header(self._newest)

    def encode(self, event: JobStatusEvent) -> bytes:
        """The value for `event`, whose fields the caller has checked."""
        return write(self._header, event)

    def decode(self, value: bytes | None) -> JobStatusEvent:
        """The event in `value`, with its fields as they were sent; `check_event` checks them.

        Raises `UndecodableError` where `value` is anything but one whole event.
        """
        if value is None:
            raise UndecodableError("no_value", "the value is null (a tombstone); a status event is wanted")
        writer = self._newest if value.startswith(self._header) else self._framing.writer_of(value)
        if writer is not self._newest:
            return self._read(value, writer)
        usual = read_usual(value, self._framing.size)
        if usual is not None:
            return usual
        event = self._read(value, writer)
        if write(value[: self._framing.size], event) != value:
            self._check_numbers(value)
        return event

    def _check_numbers(self, value: bytes) -> None:
        """Refuse what fastavro reads as another number without an error; encoded again, such an event differs."""
        if _LONG_RUN.search(value):
            raise UndecodableError("malformed", f"a number of more than 64 bits in {len(value)} bytes")
        if has_negative_branch(value, self._framing.size):
            # Python takes branch -1 for the last one
            raise UndecodableError("malformed", f"a union with a negative branch in {len(value)} bytes")

    def _read(self, value: bytes, writer: Schema) -> JobStatusEvent:
        source = BytesIO(value)
        source.seek(self._framing.size)
        # without a reader's schema fastavro skips the resolution, which costs more than the decoding
        reader = None if writer is self._newest else self._newest.parsed
        try:
            fields = fastavro.schemaless_reader(source, writer.parsed, reader)
        except Exception as error:  # noqa: BLE001 - fastavro raises whatever its reading ran into
            detail = f"the Avro body does not decode ({type(error).__name__}), {len(value)} bytes"
            raise UndecodableError("malformed", detail) from None
        unread = len(value) - source.tell()
        if unread:
            raise UndecodableError("trailing_bytes", f"{unread} bytes follow the event in {len(value)} bytes")
        return JobStatusEvent(**fields)  # type: ignore[arg-type]  # a record's fields, by name
