"""Payloads for the decoder: random ones, and real events cut, spliced, flipped and stretched."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from jobstatus_schemas import JobStatusEvent, encode, schema_fingerprint
from jobstatus_schemas.framing.single_object import HEADER_BYTES, MARKER, OTHER_FINGERPRINTS

SIZES = (0, 1, 2, 9, 10, 11, 63, 64, 65, 300, 5000)
HEADERS = tuple(MARKER + name for name in (schema_fingerprint(), *OTHER_FINGERPRINTS["v1"]))
NUMBERS = (b"\x00", b"\x01", b"\x80" * 9 + b"\x01", b"\xff" * 10, b"\xfe\xff\xff\xff\x0f", b"\x80\x00")


def real(rng: random.Random) -> bytes:
    """An event as a producer writes it, of any shape that the schema allows."""
    text = rng.choice(("job", "jöb ☃", "x" * rng.choice(SIZES), "\x00", "𐍈" * 40))
    value = encode(
        JobStatusEvent(
            f"{rng.getrandbits(128):032x}",
            text,
            rng.choice(("pending", "success", "")),
            rng.choice((None, "", text, "it broke")),
            rng.choice((None, 0, 1, -1, 2**31 - 1, -(2**31))),
            rng.choice((None, "", "worker-7")),
            rng.choice((0, -1, 1_700_000_000_000_000, 2**63 - 1, -(2**63))),
        )
    )
    return rng.choice(HEADERS) + value[HEADER_BYTES:]


def flipped(value: bytearray, rng: random.Random) -> None:
    value[rng.randrange(len(value))] ^= 1 << rng.randrange(8)


def cut(value: bytearray, rng: random.Random) -> None:
    del value[rng.randrange(len(value)) :]


def removed(value: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(value))
    del value[start : start + rng.randrange(1, 9)]


def inserted(value: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(value) + 1)
    value[at:at] = rng.choice((rng.choice(NUMBERS), rng.randbytes(rng.randrange(1, 9))))


def replaced(value: bytearray, rng: random.Random) -> None:
    at = rng.randrange(HEADER_BYTES, max(HEADER_BYTES + 1, len(value)))
    number = rng.choice(NUMBERS)
    value[at : at + len(number)] = number


def spliced(value: bytearray, rng: random.Random) -> None:
    other = real(rng)
    value[rng.randrange(len(value)) :] = other[rng.randrange(len(other)) :]


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flipped,
    cut,
    removed,
    inserted,
    replaced,
    spliced,
)


def payloads(count: int, seed: int) -> Iterator[bytes]:
    """`count` payloads: a tenth random, a tenth random behind a good header, the rest mutated events."""
    rng = random.Random(seed)
    for _ in range(count):
        kind = rng.random()
        if kind < 0.2:
            body = rng.randbytes(rng.choice(SIZES))
            yield body if kind < 0.1 else real(rng)[:HEADER_BYTES] + body
            continue
        value = bytearray(real(rng))
        for _ in range(rng.randrange(1, 4)):
            if value:
                rng.choice(MUTATIONS)(value, rng)
        yield bytes(value)
