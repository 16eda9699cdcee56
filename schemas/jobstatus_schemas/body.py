"""The Avro body of the newest schema, written and read by hand.

Every call of a worker writes one, and the consumer reads tens of thousands a second. fastavro's general writer and
reader take more than twice as long. The tests compare both directions with fastavro and avro-tools, byte for byte.

Avro's rules: a number is zigzag-encoded, then cut into seven bits a byte, the lowest first; the high bit of a byte says
that another one follows. A text is its length in bytes, as such a number, and then UTF-8. A field of a union is the
number of its branch, here 0 for null and 1 for a value, and then the value.
"""

from __future__ import annotations

from typing import Final

from jobstatus_schemas.event import JobStatusEvent

# the branch numbers 0 and 1, and the lengths below 64, each in its one byte
_NULL: Final = b"\x00"
_NOT_NULL: Final = b"\x02"
_SHORT_SIZES: Final = tuple(bytes([2 * size]) for size in range(64))
_NOT_SHORT: Final = 0x81
"""The bits of a first byte that say that the number is negative, or goes on in the next byte."""


def write(header: bytes, event: JobStatusEvent) -> bytes:
    """`header`, and the body of `event`, whose fields the caller has checked."""
    event_id, job_id, status, error_message, attempt, worker_id, occurred_at = event
    return b"".join(
        (
            header,
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
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


class _UnusualError(Exception):
    """Something is not as it is in a usual event."""


def read_usual(value: bytes, at: int) -> JobStatusEvent | None:
    """The event whose body is `value` from `at` to its end, if it is a usual one; else None.

    Usual are texts below 8 KiB, attempts from 0 to 63, and a time after 1978, which takes eight bytes. The caller
    gives everything else to fastavro, which alone says what is wrong with a body.
    """
    try:
        event_id, at = _text(value, at)
        job_id, at = _text(value, at)
        status, at = _text(value, at)
        error_message, at = _text_or_null(value, at)
        attempt, at = _short_number_or_null(value, at)
        worker_id, at = _text_or_null(value, at)
        occurred_at, at = _eight_byte_long(value, at)
    except (_UnusualError, IndexError, UnicodeDecodeError):
        return None
    if at != len(value):
        return None
    # what the event's own constructor does, without the call of a function in Python
    fields = (event_id, job_id, status, error_message, attempt, worker_id, occurred_at)
    return tuple.__new__(JobStatusEvent, fields)


def _text(value: bytes, at: int) -> tuple[str, int]:
    size = value[at]
    at += 1
    if size & _NOT_SHORT:
        more = value[at]
        # a negative size, one of three bytes or more, or one that fits into a single byte
        if size & 1 or not 0 < more <= 0x7F:
            raise _UnusualError
        at += 1
        size = size & 0x7F | more << 7
    end = at + (size >> 1)
    return value[at:end].decode(), end


def _text_or_null(value: bytes, at: int) -> tuple[str | None, int]:
    branch = value[at]
    if branch == 0:
        return None, at + 1
    if branch != 2:
        raise _UnusualError
    return _text(value, at + 1)


def _short_number_or_null(value: bytes, at: int) -> tuple[int | None, int]:
    branch = value[at]
    if branch == 0:
        return None, at + 1
    number = value[at + 1]
    if branch != 2 or number & _NOT_SHORT:
        raise _UnusualError
    return number >> 1, at + 2


def _eight_byte_long(value: bytes, at: int) -> tuple[int, int]:
    end = at + 8
    word = int.from_bytes(value[at:end], "little")
    # each byte but the eighth says that another one follows, and the number is not negative
    if word & 0x8080808080808081 != 0x0080808080808080:
        raise _UnusualError
    # the seven bits of each byte: neighbours are joined, then pairs, then fours
    word = (word & 0x007F007F007F007F) | ((word & 0x7F007F007F007F00) >> 1)
    word = (word & 0x00003FFF00003FFF) | ((word & 0x3FFF00003FFF0000) >> 2)
    return ((word & 0x0FFFFFFF) | ((word & 0x0FFFFFFF00000000) >> 4)) >> 1, end


def has_negative_branch(value: bytes, at: int) -> bool:
    """Whether a union in the body of `value` from `at` has a negative branch. A general reader has read it already."""
    for _ in range(3):
        at = _behind_text(value, at)
    for behind in (_behind_text, _behind_long, _behind_text):
        branch, at = _any_long(value, at)
        if branch < 0:
            return True
        if branch:
            at = behind(value, at)
    return False


def _any_long(value: bytes, at: int) -> tuple[int, int]:
    rest = shift = 0
    while True:
        byte = value[at]
        rest |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte <= 0x7F:
            return (rest >> 1) ^ -(rest & 1), at


def _behind_long(value: bytes, at: int) -> int:
    return _any_long(value, at)[1]


def _behind_text(value: bytes, at: int) -> int:
    size, at = _any_long(value, at)
    return at + size
