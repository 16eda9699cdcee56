"""What the log says of dead letters: the job, the position and the cause, and no flood of lines."""

from __future__ import annotations

import logging

import pytest
from jobstatus_consumer.records import RawRecord, Rejected
from jobstatus_consumer.stream.dead_letter_lines import LOG_AGAIN_SECONDS, DeadLetterLines


def rejected(offset: int, key: bytes | None = b"job-1", where: str = "known") -> Rejected:
    raw = RawRecord("events", 3, offset, 0, key, b"secret", (), "events/id/3")
    return Rejected(raw, "write", "check_violation", "detail", "CheckViolation", "23514", where)


def test_each_cause_has_one_line_in_half_a_minute_that_counts_the_others(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    lines = DeadLetterLines(lambda: now[0])
    with caplog.at_level(logging.INFO, "jobstatus"):
        lines.sent(rejected(offset) for offset in range(50))
        lines.sent([rejected(50, where="other")])
        now[0] = LOG_AGAIN_SECONDS
        lines.sent([rejected(51), rejected(52)])
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert caplog.messages == [
        "dead letter: job job-1 at events 3:0: write check_violation known",
        "dead letter: job job-1 at events 3:50: write check_violation other",
        "dead letter: job job-1 at events 3:51: write check_violation known; and 49 more for this cause",
    ]
    fields = vars(caplog.records[0])
    assert [fields[name] for name in ("job_id", "partition", "offset", "constraint")] == ["job-1", 3, 0, "known"]


def test_any_key_makes_a_line(caplog: pytest.LogCaptureFixture) -> None:
    keys = [None, b"", b"\xff\x00", b"k" * 100_000]
    with caplog.at_level(logging.INFO, "jobstatus"):
        for number, key in enumerate(keys):
            DeadLetterLines().sent([rejected(number, key)])
    assert "a record without a key at events 3:0" in caplog.messages[0]
    assert "\\xff" in caplog.messages[2]
    assert len(caplog.messages[3]) < 200
