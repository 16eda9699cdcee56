"""The hand-written Avro body: what it writes and reads is what fastavro writes and reads."""

from __future__ import annotations

import io

import fastavro
from hypothesis import given
from hypothesis import strategies as st
from jobstatus_schemas import JobStatusEvent
from jobstatus_schemas.body import read_usual, write
from jobstatus_schemas.schema import newest_schema

SCHEMA = newest_schema().parsed
TEXTS = st.text(max_size=80) | st.text(alphabet="abc-0", min_size=1, max_size=70)
EVENTS = st.builds(
    JobStatusEvent,
    event_id=st.uuids().map(str) | TEXTS,
    job_id=TEXTS,
    status=TEXTS,
    error_message=st.none() | TEXTS,
    attempt=st.none() | st.integers(-70, 200) | st.integers(-(2**31), 2**31 - 1),
    worker_id=st.none() | TEXTS,
    occurred_at=st.integers(1_500_000_000_000_000, 7_258_118_400_000_000) | st.integers(-(2**63), 2**63 - 1),
)


def written_by_fastavro(event: JobStatusEvent) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, SCHEMA, event._asdict())
    return out.getvalue()


def read_by_fastavro(body: bytes) -> JobStatusEvent | None:
    source = io.BytesIO(body)
    try:
        fields = fastavro.schemaless_reader(source, SCHEMA, None)
    except Exception:  # noqa: BLE001 - whatever fastavro raises
        return None
    return JobStatusEvent(**fields) if source.tell() == len(body) else None  # type: ignore[arg-type]


@given(EVENTS)
def test_the_bytes_are_those_of_the_general_writer(event: JobStatusEvent) -> None:
    assert write(b"head", event) == b"head" + written_by_fastavro(event)


@given(EVENTS)
def test_an_event_is_read_as_fastavro_reads_it_or_left_to_it(event: JobStatusEvent) -> None:
    body = write(b"", event)
    assert read_by_fastavro(body) == event
    assert read_usual(body, 0) in (None, event)


def test_a_usual_event_is_read_by_hand() -> None:
    event = JobStatusEvent(
        event_id="8a5b0f3e-2c1d-4e5f-9a6b-7c8d9e0f1a2b",
        job_id="job-17",
        status="error",
        error_message="gone",
        attempt=3,
        worker_id="worker-01",
        occurred_at=1_790_000_000_000_000,
    )
    assert read_usual(write(b"head", event), 4) == event
    without = event._replace(error_message=None, attempt=None, worker_id=None)
    assert read_usual(write(b"", without), 0) == without


@given(EVENTS, st.data())
def test_spoiled_bytes_are_never_read_otherwise_than_fastavro_reads_them(
    event: JobStatusEvent, data: st.DataObject
) -> None:
    body = bytearray(write(b"", event))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)) | st.just(len(body)))
    spoiled = bytes(body[:cut]) + data.draw(st.just(b"") | st.binary(max_size=2))
    found = read_usual(spoiled, 0)
    assert found is None or found == read_by_fastavro(spoiled)
