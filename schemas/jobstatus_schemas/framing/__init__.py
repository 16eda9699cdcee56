"""Framings: the bytes in front of an event's Avro body, which say with which schema the body was written.

A framing is a value that is handed to `Codec`. To add one, write a class with the members of `Framing` in a file of its
own here; one that is only read has those of `ReadFraming`.
"""

from __future__ import annotations

from typing import Protocol

from jobstatus_schemas.framing.confluent import Confluent
from jobstatus_schemas.framing.single_object import SingleObject
from jobstatus_schemas.schema import Schema

__all__ = ["Confluent", "Framing", "ReadFraming", "SingleObject"]


class ReadFraming(Protocol):
    """Reads the header of a value."""

    @property
    def size(self) -> int:
        """The length of the header in bytes; the Avro body follows it."""

    def writer_of(self, value: bytes) -> Schema:
        """The schema with which the body of `value` was written.

        Raises `UndecodableError` for a value without such a header, and for a schema that is not known.
        """


class Framing(ReadFraming, Protocol):
    """Writes it, too."""

    def header(self, schema: Schema) -> bytes:
        """The header of a value whose body is written with `schema`."""
