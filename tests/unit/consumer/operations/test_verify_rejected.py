"""What verify says of rows that a record has written which it cannot take: of a later version, or another status."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jobstatus_consumer.operations.findings import NOT_TAKEN, UNEXPLAINED, VerifyReport
from jobstatus_consumer.operations.suspects import Criteria
from jobstatus_consumer.operations.verify import verify
from jobstatus_consumer.records import Event
from law.events import event
from law.model import one_by_one
from support.fake_log import FakeReader, scope_of
from support.fake_table import FakeTable


def judged(taken: Sequence[Event], change: Callable[[FakeTable], None] = lambda table: None) -> VerifyReport:
    """What is said of the table that a consumer wrote which took every status, by one that takes only two."""
    table: Any = FakeTable(one_by_one({}, taken))
    change(table)
    reader: Any = FakeReader([taken])
    return verify(reader, scope_of([taken], allowed={"old", "new"}), table, Criteria(exact=True), lambda: False)


def test_a_row_at_a_record_that_is_not_taken_is_explained() -> None:
    taken = [event("job-1", 0, status="old"), event("job-1", 1, status="odd", time=5), event("job-2", 2, status="odd")]
    report = judged(taken)
    assert (report.findings, report.explained) == ({}, {NOT_TAKEN: 2})
    assert report.counts.undecodable.total() == 2


def test_a_row_at_another_jobs_record_that_is_not_taken_is_misplaced() -> None:
    taken = [event("job-1", 0, status="old"), event("job-2", 1, status="odd", time=5)]
    report = judged(taken, lambda table: table.change("job-1", offset=1))
    assert {job: item.misplaced for job, item in report.findings.items()} == {"job-1": True}
    assert report.explained == {NOT_TAKEN: 1}


def test_an_attempt_or_a_time_of_a_record_that_is_not_taken_is_no_fault() -> None:
    taken = [
        event("job-1", 0, status="odd", attempt=2, time=9),
        event("job-1", 1, status="new", time=3),
        event("job-2", 2, status="new", time=3),
    ]
    report = judged(taken)
    assert (report.findings, report.explained) == ({}, {UNEXPLAINED: 1})
    found = judged(taken, lambda table: table.change("job-2", attempt=4)).findings
    assert {job: item.columns for job, item in found.items()} == {"job-2": ("attempt",)}
