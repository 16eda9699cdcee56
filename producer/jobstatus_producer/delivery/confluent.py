"""Sends events in Confluent's framing: a transport in front of the Kafka client's.

Everywhere else a record is single-object: in memory, in the spool, for another worker that takes a spool over. Only
here its header of ten bytes is replaced by the five with the schema's id. So no id is ever kept on disk, and events are
accepted before it is known.
"""

from __future__ import annotations

from typing import Final

from jobstatus_schemas import SingleObject, UndecodableError
from jobstatus_schemas.framing.confluent import header_of
from jobstatus_schemas.framing.single_object import HEADER_BYTES
from jobstatus_schemas.schema import newest_schema

from jobstatus_producer.delivery.schema_ids import SchemaIds
from jobstatus_producer.delivery.transport import Done, Failure, Transport

_NO_ANSWER: Final = "schema registry: it has not answered yet"


class ConfluentTransport:
    """A `Transport` over another one. It is not ready before the registry has named the id of our newest schema."""

    def __init__(self, inner: Transport, ids: SchemaIds) -> None:
        self._inner = inner
        self._ids = ids
        self._framing = SingleObject()
        self._headers: dict[bytes, bytes] = {}
        self.poll = inner.poll
        self.find_broker = inner.find_broker
        self.reach = inner.reach
        self.purge = inner.purge
        ids.find(newest_schema())

    def not_ready(self, seconds: float) -> Failure | None:
        """Why nothing may be handed over yet. Blocks for up to `seconds` for the registry's answer."""
        if self._ids.wait(newest_schema(), seconds) is None:
            return Failure(self._ids.trouble or _NO_ANSWER)
        return None

    def send(self, key: bytes, value: bytes, done: Done, *, late: bool, traceparent: str | None) -> Failure | None:
        """Hand a record over. Never blocks. A `Failure` means that it was not taken."""
        header = self._headers.get(value[:HEADER_BYTES]) or self._header_for(value)
        if header is None:
            return Failure(self._ids.trouble or _NO_ANSWER)
        return self._inner.send(key, header + value[HEADER_BYTES:], done, late=late, traceparent=traceparent)

    def _header_for(self, value: bytes) -> bytes | None:
        try:
            schema = self._framing.writer_of(value)
        except UndecodableError:
            # from a spool of a newer version: it is sent as it is, and consumers read both framings
            return value[:HEADER_BYTES]
        found = self._ids.find(schema)
        if found is None:
            return None
        header = self._headers[value[:HEADER_BYTES]] = header_of(found)
        return header

    def close(self) -> None:
        """Let go of the client, within a bound."""
        self._ids.close()
        self._inner.close()

    def __len__(self) -> int:
        return len(self._inner)
