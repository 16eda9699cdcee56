"""What is kept of a record that is too large: the first bytes of its parts, with their size and their SHA-256.

The log's limit for a record counts compressed bytes, so a record may be a thousand times larger than that.
"""

from __future__ import annotations

import hashlib
from typing import Final

from jobstatus_consumer.records import Headers, header_bytes

LARGEST_KEPT: Final = 8 * 1024 * 1024
"""A key or a value with more bytes is cut as soon as it was read. No event is nearly as large."""
FIRST_BYTES: Final = 4096
"""How much is kept of what is cut."""
LARGEST_HEADERS: Final = 1024 * 1024
"""Of headers with more bytes than this together, only small ones are kept."""
SMALL_HEADER: Final = 1024
OUR_HEADERS: Final = "jobstatus."
MOST_SMALL_HEADERS: Final = 64


class CutBytes(bytes):
    """The first bytes of a key or a value. `size` and `sha256` are those of the whole; None and "" if not known."""

    size: int | None
    sha256: str

    @classmethod
    def of(cls, whole: bytes) -> CutBytes:
        """Keep the first bytes of `whole`."""
        return cls.known(whole[:FIRST_BYTES], len(whole), hashlib.sha256(whole).hexdigest())

    @classmethod
    def known(cls, first: bytes, size: int | None = None, sha256: str = "") -> CutBytes:
        """The first bytes of something whose size and digest were noted before."""
        made = cls(first)
        made.size, made.sha256 = size, sha256
        return made

    @property
    def whole_size(self) -> str:
        """The size for a person."""
        return "an unknown number of bytes" if self.size is None else f"{self.size} bytes"


class CutHeaders(tuple[tuple[str, bytes | None], ...]):
    """The small ones of headers that are too large together."""

    __slots__ = ()


def kept_bytes(part: bytes | None) -> bytes | None:
    """Return a key or a value as it is kept."""
    return part if part is None or len(part) <= LARGEST_KEPT else CutBytes.of(part)


def kept_headers(headers: Headers) -> Headers:
    """Return the headers of a record as they are kept."""
    if header_bytes(headers) <= LARGEST_HEADERS:
        return headers
    small = [pair for pair in headers if len(pair[0]) + len(pair[1] or b"") <= SMALL_HEADER]
    # ours first: one of them says that an event is late
    small.sort(key=lambda pair: not pair[0].startswith(OUR_HEADERS))
    return CutHeaders(small[:MOST_SMALL_HEADERS])


def cut_parts(key: bytes | None, value: bytes | None, headers: Headers) -> tuple[str, ...]:
    """Return which parts of a record were cut, as its dead letter names them."""
    cut = (isinstance(key, CutBytes), isinstance(value, CutBytes), isinstance(headers, CutHeaders))
    return tuple(name for name, is_cut in zip(("key", "value", "headers"), cut, strict=True) if is_cut)
