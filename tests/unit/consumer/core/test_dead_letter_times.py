"""The timestamp with which a dead letter goes out: one that the broker takes."""

from __future__ import annotations

import pytest
from jobstatus_consumer.core.dead_letters import dead_letter, sendable_time
from jobstatus_consumer.records import RawRecord, Rejected


@pytest.mark.parametrize(
    ("timestamp", "sent"),
    [(-1, 0), (0, 0), (1234, 1234), (5000, 5000), (5001, 5000), (1_767_268_800_000_000, 5000), (2**63 - 1, 5000)],
)
def test_it_is_the_originals_but_never_ahead_and_the_header_keeps_it(timestamp: int, sent: int) -> None:
    raw = RawRecord("events", 0, 1, timestamp, b"job", b"x", (), "events/id/0")
    letter = dead_letter(Rejected(raw, "decode", "x", ""), "g", 5.0)
    assert sendable_time(letter, 5.0) == sent
    assert dict(letter.headers)["jobstatus.dlq.timestamp"] == str(timestamp).encode()
