"""What verify says of rows whose events are in two partitions, because the topic's number of them was raised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobstatus_consumer.operations.findings import UNEXPLAINED, VerifyReport
from jobstatus_consumer.operations.suspects import Criteria
from jobstatus_consumer.operations.verify import verify
from jobstatus_consumer.records import Event
from law.events import NOON, event
from law.histories import logs
from law.model import Row as ModelRow
from law.model import Table, one_by_one
from support.fake_log import LOGS, FakeReader, scope_of
from support.fake_table import FakeTable, in_second, interleaved


def judged(
    table: Table, chunks: Iterable[Sequence[Event]], *, exact: bool = True, strict: bool = False
) -> VerifyReport:
    chunks = list(chunks)
    rows: Any = FakeTable(table)
    reader: Any = FakeReader(chunks)
    return verify(reader, scope_of(chunks, partitions=2), rows, Criteria(exact, strict=strict), lambda: False)


@settings(max_examples=300)
@given(logs(LOGS[0].id), logs(LOGS[1].id), st.data())
def test_a_table_that_the_rule_made_of_two_logs_has_no_fault_whichever_is_read_first(
    first: list[Event], second: list[Event], data: st.DataObject
) -> None:
    second = [in_second(item) for item in second]
    table = one_by_one({}, data.draw(interleaved(first, second), "as they were written"))
    read = data.draw(st.sampled_from(([first, second], [second, first], [[*first, *second]])), "as they are read")
    for strict in (False, True):
        for exact in (False, True):
            report = judged(table, read, exact=exact, strict=strict)
            assert (report.findings, report.explained) == ({}, {})


def raised() -> tuple[list[Event], list[Event]]:
    """Two jobs whose second event is in a partition that was not there for the first."""
    first = [event("a", 0, attempt=3, time=1), event("b", 1, attempt=1, time=9)]
    second = [event("a", 0, time=5, status="success"), event("b", 1, attempt=2, time=4, status="success")]
    return first, [in_second(item) for item in second]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_attempt_or_a_time_may_be_from_the_other_log_but_the_content_may_not(
    order: tuple[int, int], strict: bool
) -> None:
    both = raised()
    table = one_by_one({}, [*both[0], *both[1]])
    read = [both[number] for number in order]
    assert judged(table, read, strict=strict).findings == {}
    table["a"] = ModelRow(**{**vars(table["a"]), "status": "bogus"})
    found = judged(table, read, strict=strict).findings
    assert {job: (item.kind, item.columns) for job, item in found.items()} == {"a": ("different", ("status",))}


@pytest.mark.parametrize("exact", [False, True])
def test_a_time_that_no_event_can_have_is_named_whatever_is_there_of_the_logs(exact: bool) -> None:
    both = raised()
    table = one_by_one({}, [*both[0], *both[1]])
    table["a"] = ModelRow(**{**vars(table["a"]), "latest": 2**63 - 1})
    found = judged(table, both, exact=exact).findings
    assert {job: item.columns for job, item in found.items()} == {"a": ("latest_occurred_at",)}


def test_a_row_of_one_log_beside_others_of_two_is_still_held_against_all_its_events() -> None:
    both = raised()
    both[0].append(event("c", 2, time=3))
    table = one_by_one({}, [*both[0], *both[1]])
    table["c"] = ModelRow(**{**vars(table["c"]), "attempt": 4, "latest": NOON + 8})
    found = judged(table, both).findings
    assert {job: item.columns for job, item in found.items()} == {"c": ("attempt", "latest_occurred_at")}


def test_an_attempt_that_neither_log_has_is_explained() -> None:
    both = raised()
    table = one_by_one({}, [*both[0], *both[1]])
    for order in (both, both[::-1]):
        assert judged(table, order, exact=False).explained == {}
    table["a"] = ModelRow(**{**vars(table["a"]), "attempt": 4})
    for exact in (False, True):
        report = judged(table, both, exact=exact)
        assert (report.findings, report.explained) == ({}, {UNEXPLAINED: 1})


def test_an_event_of_the_other_log_with_the_rows_own_id_is_another_one() -> None:
    first = event("a", 0, time=5)
    second = in_second(event("a", 0, time=3, status="success"))
    second = second._replace(content=second.content._replace(event_id=first.content.event_id))
    table = one_by_one({}, [first, second])
    table["a"] = ModelRow(**{**vars(table["a"]), "attempt": 4})
    for read in ([[first], [second]], [[second], [first]]):
        report = judged(table, read)
        assert (report.findings, report.explained) == ({}, {UNEXPLAINED: 1})
