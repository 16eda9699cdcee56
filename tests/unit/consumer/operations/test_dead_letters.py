"""Whether a dead letter still matters to its job's row."""

from __future__ import annotations

from jobstatus_consumer.core.dead_letters import Letter
from jobstatus_consumer.core.decode import Decoder
from jobstatus_consumer.core.rule import RowState
from jobstatus_consumer.operations.dead_letters import settled
from jobstatus_consumer.records import RawRecord
from jobstatus_schemas import JobStatusEvent, encode

EVENT = JobStatusEvent("00000000-0000-0000-0000-000000000001", "job", "x", None, None, None, 1_700_000_000_000_000)
ORIGINAL = RawRecord("t", 3, 17, 1_700_000_000_100, b"job", encode(EVENT), (("jobstatus.late", b"1"),), "t/id/3/1")


def is_settled(row: RowState | None, value: bytes | None = ORIGINAL.value) -> bool:
    letter = Letter(0, 99, ORIGINAL._replace(value=value, headers=()), *[""] * 9)
    return settled(letter, Decoder().decode(letter.original), row)


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
