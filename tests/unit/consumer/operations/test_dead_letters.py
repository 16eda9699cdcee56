"""Dead letters read back, and whether they still matter."""

from __future__ import annotations

from jobstatus_consumer.core.dead_letters import dead_letter
from jobstatus_consumer.core.rule import RowState
from jobstatus_consumer.operations.dead_letters import Letter, letter_of, open_again, settled
from jobstatus_consumer.records import Event, RawRecord, Rejected
from jobstatus_schemas import JobStatusEvent, encode

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


def test_a_dead_letter_gives_its_original_back() -> None:
    letter = read()
    assert letter.original == ORIGINAL._replace(headers=[("jobstatus.late", b"1")])
    assert (letter.partition, letter.offset, letter.position) == (0, 99, "3:17")
    assert letter.cause == ("write", "check_violation", "known")
    assert letter.first_seen.startswith("1970-01-01T00:00:05")
    found = open_again(letter, None)
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


def is_settled(row: RowState | None, value: bytes | None = ORIGINAL.value) -> bool:
    letter = read(ORIGINAL._replace(value=value, headers=()))
    return settled(letter, open_again(letter, None), row)


def test_settled_is_a_row_at_or_past_it() -> None:
    time = EVENT.occurred_at
    assert not is_settled(None)
    assert is_settled(RowState(None, time, "t/id/3/1", 17))
    assert is_settled(RowState(None, time, "t/id/3/1", 18))
    assert not is_settled(RowState(None, time, "t/id/3/1", 16))
    assert is_settled(RowState(None, time + 1, "t/other/3", 2)), "another log, and newer"
    assert not is_settled(RowState(None, time - 1, "t/other/3", 2))
    assert not is_settled(RowState(None, None, None, None)), "somebody else's row"


def test_what_does_not_decode_is_judged_by_its_place() -> None:
    appended = ORIGINAL.timestamp * 1000
    assert is_settled(RowState(None, 0, "t/id/3/1", 17), b"rubbish")
    assert not is_settled(RowState(None, 0, "t/id/3/1", 16), b"rubbish")
    assert is_settled(RowState(None, appended, "t/other/3", 2), b"rubbish")
    assert not is_settled(RowState(None, appended - 1, "t/other/3", 2), b"rubbish")
    assert not is_settled(RowState(None, appended, None, None), b"rubbish")


def test_a_key_that_is_no_text_has_no_job() -> None:
    assert read(ORIGINAL._replace(key=b"\xff")).job_id is None
    assert read(ORIGINAL._replace(key=None)).job_id is None
    assert read().job_id == "job"
