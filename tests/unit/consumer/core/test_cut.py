"""What is kept of a record that is too large: enough to know it again, and little memory."""

from __future__ import annotations

import hashlib

import pytest
from jobstatus_consumer.core.cut import (
    LARGEST_HEADERS,
    LARGEST_KEPT,
    CutBytes,
    CutHeaders,
    cut_parts,
    kept_bytes,
    kept_headers,
)
from jobstatus_consumer.core.decode import Decoder
from jobstatus_consumer.records import Event, RawRecord, Rejected, record_size
from jobstatus_schemas import JobStatusEvent, encode

EVENT = JobStatusEvent("00000000-0000-0000-0000-000000000001", "job", "x", None, None, None, 1_700_000_000_000_000)


@pytest.mark.parametrize("part", [None, b"", b"x" * LARGEST_KEPT])
def test_what_is_small_enough_is_kept_as_it_is(part: bytes | None) -> None:
    assert kept_bytes(part) is part


def test_of_a_large_value_the_first_bytes_are_kept_with_size_and_digest() -> None:
    whole = b"ab" * LARGEST_KEPT
    kept = kept_bytes(whole)
    assert isinstance(kept, CutBytes)
    assert (kept, kept.size) == (whole[:4096], len(whole))
    assert kept.sha256 == hashlib.sha256(whole).hexdigest()
    # whatever the first bytes are, they are no event
    start = CutBytes.known(encode(EVENT), len(whole), kept.sha256)
    found = Decoder().decode(RawRecord("t", 0, 0, 0, b"job", start, (), "t/id/0"))
    assert isinstance(found, Rejected)
    assert (found.stage, found.reason) == ("decode", "too_large")


def test_of_large_headers_ours_and_the_small_ones_are_kept() -> None:
    many = [(f"small-{number}", b"1") for number in range(1000)]
    headers = [("large", b"x" * LARGEST_HEADERS), *many, ("jobstatus.late", b"1")]
    kept = kept_headers(headers)
    assert isinstance(kept, CutHeaders)
    assert len(kept) == 64
    assert kept[0] == ("jobstatus.late", b"1")
    assert cut_parts(b"key", b"value", kept) == ("headers",)
    raw = RawRecord("t", 0, 0, 0, b"job", encode(EVENT), kept, "t/id/0")
    found = Decoder().decode(raw)
    assert isinstance(found, Event)
    assert found.late
    assert record_size(raw) < 2000
    assert kept_headers(many) is many
