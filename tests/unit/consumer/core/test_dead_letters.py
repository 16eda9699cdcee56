"""The format of a dead letter: what is written of a rejected record, and what is read back."""

from __future__ import annotations

import hashlib

import pytest
from jobstatus_consumer.core.cut import CutBytes
from jobstatus_consumer.core.dead_letters import Letter, as_reference, dead_letter, letter_of, sendable_time
from jobstatus_consumer.core.decode import Decoder
from jobstatus_consumer.records import Event, RawRecord, Rejected
from jobstatus_schemas import JobStatusEvent, encode

RAW = RawRecord(
    "events", 4, 17, 1234, b"job-1", b"\x00value", (("traceparent", b"00"), ("x", None)), "events/top-ic/4/2"
)
EVENT = JobStatusEvent("00000000-0000-0000-0000-000000000001", "job", "x", None, None, None, 1_700_000_000_000_000)
ORIGINAL = RawRecord("t", 3, 17, 1_700_000_000_100, b"job", encode(EVENT), (("jobstatus.late", b"1"),), "t/id/3/1")


def written(original: RawRecord = ORIGINAL) -> RawRecord:
    """The original's dead letter as a record of its topic."""
    sent = dead_letter(
        Rejected(original, "write", "check_violation", "it", "CheckViolation", "23514", "known"), "g", 5.0
    )
    return RawRecord("t.dlq", 0, 99, sent.timestamp, sent.key, sent.value, sent.headers, "")


def read(original: RawRecord = ORIGINAL) -> Letter:
    found = letter_of(written(original))
    assert found is not None
    return found


def test_the_original_is_untouched_and_says_where_it_came_from() -> None:
    rejected = Rejected(RAW, "write", "check_violation", "refused", "CheckViolation", "23514", "known")
    letter = dead_letter(rejected, "jobstatus", 0.0)
    assert (letter.key, letter.value, letter.timestamp) == (RAW.key, RAW.value, RAW.timestamp)
    assert list(letter.headers[:2]) == list(RAW.headers)
    told = {name: (text or b"").decode() for name, text in letter.headers[2:]}
    assert all(name.startswith("jobstatus.dlq.") for name in told)
    assert told["jobstatus.dlq.topic.id"] == "top-ic"
    assert told["jobstatus.dlq.log.id"] == "events/top-ic/4/2"
    assert (told["jobstatus.dlq.partition"], told["jobstatus.dlq.offset"]) == ("4", "17")
    assert (told["jobstatus.dlq.sqlstate"], told["jobstatus.dlq.where"]) == ("23514", "known")
    assert told["jobstatus.dlq.first.seen"] == "1970-01-01T00:00:00.000+00:00"


@pytest.mark.parametrize(
    ("timestamp", "sent"),
    [(-1, 0), (0, 0), (1234, 1234), (5000, 5000), (5001, 5000), (1_767_268_800_000_000, 5000), (2**63 - 1, 5000)],
)
def test_the_timestamp_is_the_originals_but_never_ahead_and_a_header_keeps_it(timestamp: int, sent: int) -> None:
    raw = RawRecord("events", 0, 1, timestamp, b"job", b"x", (), "events/id/0")
    letter = dead_letter(Rejected(raw, "decode", "x", ""), "g", 5.0)
    assert sendable_time(letter, 5.0) == sent
    assert dict(letter.headers)["jobstatus.dlq.timestamp"] == str(timestamp).encode()


def test_a_dead_letter_gives_its_original_back() -> None:
    letter = read()
    assert letter.original == ORIGINAL._replace(headers=[("jobstatus.late", b"1")])
    assert (letter.partition, letter.offset, letter.position) == (0, 99, "3:17")
    assert letter.cause == ("write", "check_violation", "known")
    assert letter.first_seen.startswith("1970-01-01T00:00:05")
    found = Decoder().decode(letter.original)
    assert isinstance(found, Event)
    assert (found.log_id, found.offset, found.late) == ("t/id/3/1", 17, True)


def test_the_originals_time_outlives_a_topic_that_gives_records_its_own() -> None:
    for timestamp in (ORIGINAL.timestamp, -1):
        original = ORIGINAL._replace(timestamp=timestamp)
        found = letter_of(written(original)._replace(timestamp=1_800_000_000_000))
        assert found is not None
        assert found.original.timestamp == timestamp
    of_another_version = written()
    of_another_version = of_another_version._replace(
        headers=[item for item in of_another_version.headers if item[0] != "jobstatus.dlq.timestamp"]
    )
    found = letter_of(of_another_version)
    assert found is not None
    assert found.original.timestamp == ORIGINAL.timestamp


def test_a_record_of_somebody_else_is_no_letter() -> None:
    assert letter_of(ORIGINAL) is None
    assert (
        letter_of(written()._replace(headers=[("jobstatus.dlq.topic", b"t"), ("jobstatus.dlq.offset", b"x")])) is None
    )


def test_a_key_that_is_no_text_has_no_job() -> None:
    assert read(ORIGINAL._replace(key=b"\xff")).job_id is None
    assert read(ORIGINAL._replace(key=None)).job_id is None
    assert read().job_id == "job"


FORGED = {
    "partition": ["9" * 5000, "-1", "1.5", "\u0663", str(2**31), "", "0x1", " 1"],
    "offset": [str(2**63), "9" * 5000, "-5", "1e3"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in FORGED.items() for text in texts])
def test_a_position_that_no_record_can_have_makes_no_letter(name: str, text: str) -> None:
    assert letter_of(forged(name, text)) is None


@pytest.mark.parametrize("text", ["--5", "9" * 5000, str(2**64), "soon", "-", "\u0663"])
def test_a_time_that_no_record_can_have_is_that_of_the_letter(text: str) -> None:
    found = letter_of(forged("timestamp", text))
    assert found is not None
    assert found.original.timestamp == ORIGINAL.timestamp


@pytest.mark.parametrize("text", ["x" * 10_000, "t/id/4/1", "other/id/3", "t/id", "t/id/3/1/5", f"t/id/{'9' * 5000}"])
def test_a_log_of_another_partition_is_not_the_originals(text: str) -> None:
    found = letter_of(forged("log.id", text))
    assert found is not None
    assert found.original.log_id == "t/id/3"


def forged(name: str, text: str) -> RawRecord:
    """The original's dead letter with another text in one of our headers."""
    raw = written()
    others = [item for item in raw.headers if item[0] != f"jobstatus.dlq.{name}"]
    return raw._replace(headers=[*others, (f"jobstatus.dlq.{name}", text.encode())])


def test_what_was_cut_is_read_back_with_its_size_and_digest() -> None:
    whole = b"v" * 9000
    sent = dead_letter(Rejected(ORIGINAL._replace(value=CutBytes.of(whole)), "decode", "too_large", ""), "g", 5.0, "t")
    found = letter_of(RawRecord("t.dlq", 0, 99, 0, sent.key, sent.value, sent.headers, ""))
    assert found is not None
    assert (found.cut, found.table) == ("value", "t")
    value = found.original.value
    assert isinstance(value, CutBytes)
    assert (value, value.size, value.sha256) == (whole[:4096], 9000, hashlib.sha256(whole).hexdigest())


def test_a_reference_keeps_what_says_where_the_original_is() -> None:
    large = ORIGINAL._replace(key=b"k" * 5000, value=b"v" * 5000)
    letter = dead_letter(Rejected(large, "decode", "malformed", "why"), "g", 5.0)
    sent = as_reference(letter)
    assert sent is not None
    assert as_reference(sent) is None, "it is as small as it can be"
    found = letter_of(RawRecord("t.dlq", 0, 99, 0, sent.key, sent.value, sent.headers, ""))
    assert found is not None
    assert (found.cut, found.position, found.detail) == ("key,value,headers", "3:17", "why")
    assert found.job_id is None, "of a key that was cut"
    assert as_reference(dead_letter(Rejected(ORIGINAL, "decode", "x", ""), "g", 5.0)) is None
