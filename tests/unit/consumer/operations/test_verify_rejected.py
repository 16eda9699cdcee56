"""What verify says of rows that a record has written which it cannot take: of a later version, or another status."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from jobstatus_consumer.core.decode import Decoder
from jobstatus_consumer.operations import verify as module
from jobstatus_consumer.operations.findings import Report
from jobstatus_consumer.operations.ranges import OffsetRange
from jobstatus_consumer.operations.scope import Scope
from jobstatus_consumer.operations.verify import NOT_TAKEN, Verifier, verify
from jobstatus_consumer.records import Event
from jobstatus_schemas import encode
from law.events import event
from law.model import one_by_one
from support.fake_table import LOGS, FakeTable

SCOPE = Scope("job-status", [OffsetRange(0, 0, 10)], {0: LOGS[0]}, decoder=Decoder(statuses={"old", "new"}))


class RangeReader:
    """The records of these events, in one chunk."""

    def __init__(self, taken: Sequence[Event]) -> None:
        self._taken = taken

    def read(self, *_: Any) -> Any:
        yield [item.raw._replace(value=encode(item.content)) for item in self._taken]

    def bounds(self) -> Any:
        return {}


class Table(FakeTable):
    """All that verify asks."""

    def by_log(self) -> dict[str | None, int]:
        return {}


def judged(taken: Sequence[Event], change: Callable[[FakeTable], None] = lambda table: None) -> Report:
    table: Any = Table(one_by_one({}, taken))
    change(table)
    reader: Any = RangeReader(taken)
    verifier = Verifier(table, SCOPE, exact=True, ignore_missing=False, show_values=False)
    return verify(reader, SCOPE, table, verifier, lambda: False)


def test_a_row_at_a_record_that_is_not_taken_is_explained() -> None:
    taken = [event("job-1", 0, status="old"), event("job-1", 1, status="odd", time=5)]
    report = judged(taken)
    assert (report.findings, report.explained) == ({}, {NOT_TAKEN: 1})
    assert report.counts.undecodable.total() == 1


def test_a_row_at_another_jobs_record_that_is_not_taken_is_misplaced() -> None:
    taken = [event("job-1", 0, status="old"), event("job-2", 1, status="odd", time=5)]
    report = judged(taken, lambda table: table.change("job-1", offset=1))
    assert {job: item.misplaced for job, item in report.findings.items()} == {"job-1": True}


def test_an_attempt_or_a_time_of_a_record_that_is_not_taken_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = [
        event("job-1", 0, status="odd", attempt=2, time=9),
        event("job-1", 1, status="new", time=3),
        event("job-2", 2, status="new", time=3),
    ]
    assert judged(taken).findings == {}
    found = judged(taken, lambda table: table.change("job-2", attempt=4)).findings
    assert {job: item.columns for job, item in found.items()} == {"job-2": ("attempt",)}
    monkeypatch.setattr(module, "CACHED_ROWS", 0)
    assert judged(taken[:2]).findings == {}
