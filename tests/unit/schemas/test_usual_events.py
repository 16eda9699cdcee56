"""The quick way to decode is either the same as fastavro's or stands aside."""

from __future__ import annotations

import io

import fastavro
from hypothesis import given
from hypothesis import strategies as st
from jobstatus_schemas import JobStatusEvent, codec, encode

TEXTS = st.text(max_size=80) | st.text(alphabet="abc-0", min_size=1, max_size=70)
EVENTS = st.builds(
    JobStatusEvent,
    st.uuids().map(str) | TEXTS,
    TEXTS,
    TEXTS,
    st.none() | TEXTS,
    st.none() | st.integers(-70, 200) | st.integers(0, 2**31 - 1),
    st.none() | TEXTS,
    st.integers(1_500_000_000_000_000, 7_258_118_400_000_000) | st.integers(-(2**63), 2**63 - 1),
)


def by_fastavro(value: bytes) -> JobStatusEvent | None:
    source = io.BytesIO(value)
    source.seek(codec.HEADER_BYTES)
    try:
        fields = fastavro.schemaless_reader(source, codec._LATEST, None)
    except Exception:  # noqa: BLE001 - whatever fastavro raises
        return None
    return codec._event_of(fields) if source.tell() == len(value) else None


@given(EVENTS)
def test_an_event_is_what_fastavro_reads(event: JobStatusEvent) -> None:
    value = encode(event)
    assert by_fastavro(value) == event
    assert codec._usual(value) in (None, event)


def test_a_usual_event_takes_the_quick_way() -> None:
    event = JobStatusEvent(
        "8a5b0f3e-2c1d-4e5f-9a6b-7c8d9e0f1a2b", "job-17", "error", "gone", 3, "worker-01", 1_790_000_000_000_000
    )
    assert codec._usual(encode(event)) == event


@given(EVENTS, st.data())
def test_spoiled_bytes_are_never_read_otherwise_than_fastavro_reads_them(
    event: JobStatusEvent, data: st.DataObject
) -> None:
    value = bytearray(encode(event))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(codec.HEADER_BYTES, len(value) - 1))
        value[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(codec.HEADER_BYTES, len(value)) | st.just(len(value)))
    spoiled = bytes(value[:cut]) + data.draw(st.just(b"") | st.binary(max_size=2))
    found = codec._usual(spoiled)
    assert found is None or found == by_fastavro(spoiled)
