"""Makes `schemas/test-vectors.v1.json`, with which a client in any language can be tested without Kafka.

    python -m contract.make_vectors        (in the folder tests)

The bodies are those that Java wrote (`golden.json`); why a value is refused is what the consumer's decoder says.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from contract.make_golden import EVENTS, GOLDEN, ID
from jobstatus_consumer.core.decode import Decoder
from jobstatus_consumer.records import RawRecord, Rejected
from jobstatus_schemas import JobStatusEvent, encode, schema_fingerprint
from jobstatus_schemas.framing.single_object import MARKER, OTHER_FINGERPRINTS
from support.murmur2 import murmur2, partition_of

VERSION: Final = "v1"
VECTORS: Final = Path(__file__).parents[2] / "schemas" / f"test-vectors.{VERSION}.json"
HEADER: Final = MARKER + schema_fingerprint(VERSION)
GOOD: Final = JobStatusEvent(ID.format(0), "job-17", "processing", None, None, None, 1_700_000_000_000_000)
KEYS: Final = ("job-17", "kcat-1", "1", "21", "abc", "größe/日本語/🙂", "j" * 512, ID.format(1))
PARTITIONS: Final = (1, 2, 4, 6, 7, 12, 50)
_VALUE: Final = encode(GOOD)
REFUSED: Final[tuple[tuple[str, str, bytes | None], ...]] = (
    ("no value", "job-17", None),
    ("an empty value", "job-17", b""),
    ("JSON", "job-17", b'{"job_id": "job-17", "status": "processing"}'),
    ("an Avro body without a header", "job-17", _VALUE[len(HEADER) :]),
    ("the fingerprint's bytes in the other order", "job-17", MARKER + HEADER[:1:-1] + _VALUE[len(HEADER) :]),
    ("a value that is cut", "job-17", _VALUE[:-1]),
    ("a byte behind the event", "job-17", _VALUE + b"\x00"),
    ("another key", "job-18", _VALUE),
    ("an empty status", "job-17", encode(GOOD._replace(status=""))),
    ("a status of 65 bytes", "job-17", encode(GOOD._replace(status="s" * 65))),
    ("an empty job id", "", encode(GOOD._replace(job_id=""))),
    ("a NUL character in the job id", "a\x00b", encode(GOOD._replace(job_id="a\x00b"))),
    ("a negative attempt", "job-17", encode(GOOD._replace(attempt=-1))),
    ("an empty worker id", "job-17", encode(GOOD._replace(worker_id=""))),
    ("an event id that is no UUID", "job-17", encode(GOOD._replace(event_id="1"))),
    ("a time in nanoseconds", "job-17", encode(GOOD._replace(occurred_at=GOOD.occurred_at * 1000))),
)


def outcome(key: str, value: bytes | None) -> Any:
    """What the consumer makes of a record."""
    return Decoder().decode(RawRecord("t", 0, 0, -1, key.encode(), value, (), "t/id/0"))


def made() -> str:
    """The text of the file."""
    vectors = {
        "schema": f"job_status_event.{VERSION}.avsc",
        "header": HEADER.hex(),
        "fingerprint_as_a_number": int.from_bytes(HEADER[2:], "little", signed=True),
        "other_headers": [(MARKER + other).hex() for other in OTHER_FINGERPRINTS[VERSION]],
        "values": _values(),
        "refused": [_refused(*item) for item in REFUSED],
        "partitions": [_partitions(key) for key in KEYS],
    }
    return json.dumps(vectors, indent=1, ensure_ascii=True) + "\n"


def _values() -> list[dict[str, Any]]:
    bodies = [case["body"] for case in json.loads(GOLDEN.read_text())[VERSION]["cases"]]
    return [
        {"event": event._asdict(), "key": event.job_id.encode().hex(), "value": HEADER.hex() + body}
        for event, body in zip(EVENTS, bodies, strict=True)
    ]


def _refused(what: str, key: str, value: bytes | None) -> dict[str, Any]:
    rejected = outcome(key, value)
    assert isinstance(rejected, Rejected)
    text = None if value is None else value.hex()
    return {"what": what, "key": key.encode().hex(), "value": text, "stage": rejected.stage, "reason": rejected.reason}


def _partitions(key: str) -> dict[str, Any]:
    data = key.encode()
    places = {str(count): partition_of(data, count) for count in PARTITIONS}
    return {"key": data.hex(), "murmur2": murmur2(data), "partition_of": places}


if __name__ == "__main__":
    VECTORS.write_text(made())
