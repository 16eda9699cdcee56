"""Avro single-object encoding: `C3 01`, the writer schema's CRC-64-AVRO fingerprint, then the record's bytes.

Source: the Avro 1.12 specification, "Single-object encoding". Any Avro library reads what this writes.
"""

from __future__ import annotations

import json
import pkgutil
import re
from io import BytesIO
from typing import Any, Final

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from jobstatus_schemas.event import JobStatusEvent

MARKER: Final = b"\xc3\x01"
HEADER_BYTES: Final = 10
VERSIONS: Final = ("v1",)
"""Every published version of the schema, oldest first; each is a file `job_status_event.<version>.avsc`."""


class UndecodableError(ValueError):
    """The bytes are no event of ours; `reason` is one of `REASONS` and the text holds no value of the row."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


REASONS: Final = ("no_value", "not_avro_single_object", "unknown_schema", "malformed", "trailing_bytes")


def schema_text(version: str = VERSIONS[-1]) -> str:
    """The published Avro schema of `version`, as it stands in its file."""
    # importlib.resources would double the time that a worker's import of this package takes
    data = pkgutil.get_data(__package__, f"job_status_event.{version}.avsc")
    if data is None:
        raise FileNotFoundError(f"job_status_event.{version}.avsc is not in the package")
    return data.decode()


def schema_fingerprint(version: str = VERSIONS[-1]) -> bytes:
    """The 8 bytes of CRC-64-AVRO, little-endian, that stand in the header of a value written with `version`."""
    canonical = to_parsing_canonical_form(json.loads(schema_text(version)))
    return bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))


def _without_logical_types(schema: Any) -> Any:
    # the bytes are the same, and no datetime or UUID object is built for each event
    if isinstance(schema, dict):
        if "logicalType" in schema:
            return schema["type"]
        return {key: _without_logical_types(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_without_logical_types(item) for item in schema]
    return schema


def _parsed(version: str) -> Any:
    return fastavro.parse_schema(_without_logical_types(json.loads(schema_text(version))))


_LATEST: Final = _parsed(VERSIONS[-1])
_WRITERS: Final = {schema_fingerprint(version): _parsed(version) for version in VERSIONS}
_HEADER: Final = MARKER + schema_fingerprint()
_LATEST_FINGERPRINT: Final = _HEADER[2:]
# the branches of the unions ["null", ...], and the lengths that fit in one byte
_NULL: Final = b"\x00"
_NOT_NULL: Final = b"\x02"
_LONG_RUN: Final = re.compile(rb"[\x80-\xff]{9}")
"""Nine bytes that all say "more follows": a number of ten bytes or more, or text that is not ASCII."""
# a length, or another number, that is negative or goes on in the next byte
_NOT_SHORT: Final = 0x81
_SHORT_SIZES: Final = tuple(bytes([2 * size]) for size in range(64))


def encode(event: JobStatusEvent) -> bytes:
    """The value bytes of a Kafka record for `event`, whose fields the caller has checked.

    Avro's own rules written out for this one record, because this is the hot path of every worker: fastavro's general
    writer takes more than twice as long. The tests compare the two, and avro-tools, byte for byte.
    """
    event_id, job_id, status, error_message, attempt, worker_id, occurred_at = event
    return b"".join(
        (
            _HEADER,
            _string(event_id),
            _string(job_id),
            _string(status),
            _NULL if error_message is None else _NOT_NULL + _string(error_message),
            _NULL if attempt is None else _NOT_NULL + _long(attempt),
            _NULL if worker_id is None else _NOT_NULL + _string(worker_id),
            _long(occurred_at),
        )
    )


def _string(text: str) -> bytes:
    data = text.encode()
    size = len(data)
    return (_SHORT_SIZES[size] if size < 64 else _long(size)) + data


def _long(number: int) -> bytes:
    # zigzag, then seven bits a byte, the lowest first
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def decode(value: bytes | None) -> JobStatusEvent:
    """The event in a Kafka record's value: the whole value, or `UndecodableError` with a reason.

    The fields are as the writer sent them: `jobstatus_schemas.event.check_event` holds them to the contract.
    """
    if value is None:
        raise UndecodableError("no_value", "the value is null (a tombstone); a status event is wanted")
    if value.startswith(_HEADER):
        event = _usual(value)
        if event is not None:
            return event
    writer = _writer_schema(value)
    source = BytesIO(value)
    source.seek(HEADER_BYTES)
    try:
        # without a reader schema fastavro skips the resolution, which costs more than the decoding
        reader = None if writer is _WRITERS[_LATEST_FINGERPRINT] else _LATEST
        fields = fastavro.schemaless_reader(source, writer, reader)
    except Exception as error:  # noqa: BLE001 - fastavro raises whatever its reading ran into
        detail = f"the Avro body does not decode ({type(error).__name__}), {len(value)} bytes"
        raise UndecodableError("malformed", detail) from None
    unread = len(value) - source.tell()
    if unread:
        raise UndecodableError("trailing_bytes", f"{unread} bytes follow the event in {len(value)} bytes")
    event = _event_of(fields)
    # fastavro wraps a number of more than 64 bits around without a word; written again it is another one
    if _LONG_RUN.search(value) and writer is _WRITERS[_LATEST_FINGERPRINT] and encode(event) != value:
        raise UndecodableError("malformed", f"a number of more than 64 bits in {len(value)} bytes")
    return event


def _usual(value: bytes) -> JobStatusEvent | None:
    """The event, where every length fits in one byte and its time in eight, as nearly always; else None.

    Avro's rules written out once more, because this is the hot path of the consumer: fastavro takes twice as long. What
    is unusual in any way is left to fastavro, which alone says what is wrong with it. The tests compare the two.
    """
    try:
        event_id, at = _short_string(value, HEADER_BYTES)
        job_id, at = _short_string(value, at)
        status, at = _short_string(value, at)
        error_message, at = _short_string_or_null(value, at)
        attempt = None
        if value[at] != 0:
            attempt = value[at + 1] >> 1
            if value[at] != 2 or value[at + 1] & _NOT_SHORT:
                return None
            at += 1
        worker_id, at = _short_string_or_null(value, at + 1)
        occurred_at = _eight_byte_long(value[at:])
    except (IndexError, UnicodeDecodeError):
        return None
    return JobStatusEvent(event_id, job_id, status, error_message, attempt, worker_id, occurred_at)


def _short_string(value: bytes, at: int) -> tuple[str, int]:
    size = value[at]
    if size & _NOT_SHORT:
        raise IndexError
    end = at + 1 + (size >> 1)
    return value[at + 1 : end].decode(), end


def _short_string_or_null(value: bytes, at: int) -> tuple[str | None, int]:
    branch = value[at]
    if branch == 0:
        return None, at + 1
    if branch != 2:
        raise IndexError
    return _short_string(value, at + 1)


def _eight_byte_long(data: bytes) -> int:
    # seven bits a byte: neighbours are joined, then pairs, then fours
    word = int.from_bytes(data, "little")
    if len(data) != 8 or word & 0x8080808080808081 != 0x0080808080808080:
        raise IndexError
    word = (word & 0x007F007F007F007F) | ((word & 0x7F007F007F007F00) >> 1)
    word = (word & 0x00003FFF00003FFF) | ((word & 0x3FFF00003FFF0000) >> 2)
    return ((word & 0x0FFFFFFF) | ((word & 0x0FFFFFFF00000000) >> 4)) >> 1


def _writer_schema(value: bytes) -> Any:
    if value[:2] != MARKER or len(value) < HEADER_BYTES:
        detail = f"{len(value)} bytes that do not begin with C3 01 and a fingerprint"
        raise UndecodableError("not_avro_single_object", detail)
    writer = _WRITERS.get(value[2:HEADER_BYTES])
    if writer is None:
        detail = f"written with a schema of fingerprint {value[2:HEADER_BYTES].hex()}, which is not known here"
        raise UndecodableError("unknown_schema", detail)
    return writer


def _event_of(fields: Any) -> JobStatusEvent:
    return JobStatusEvent(
        fields["event_id"],
        fields["job_id"],
        fields["status"],
        fields["error_message"],
        fields["attempt"],
        fields["worker_id"],
        fields["occurred_at"],
    )
