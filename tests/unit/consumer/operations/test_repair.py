"""What a repair makes of rows that were changed by hand, where their events are in two partitions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jobstatus_consumer.errors import BadRowError
from jobstatus_consumer.operations.findings import Finding
from jobstatus_consumer.operations.repair import RepairContext, RepairResult, repair
from jobstatus_consumer.operations.suspects import Criteria
from jobstatus_consumer.operations.verify import verify
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import RowRepair
from law.events import NOON, event
from law.histories import logs
from law.model import Table, one_by_one
from support.fake_log import LOGS, FakeReader, scope_of
from support.fake_table import FakeTable, in_second, interleaved

Chunks = Sequence[Sequence[Event]]


def found(table: Any, chunks: Chunks, *, exact: bool = True) -> Mapping[str, Finding]:
    reader: Any = FakeReader(chunks)
    return verify(reader, scope_of(chunks, partitions=2), table, Criteria(exact), lambda: False).findings


def repaired(
    table: Any, chunks: Chunks, *, exact: bool = True, stop: Callable[[], bool] = lambda: False
) -> RepairResult:
    reader: Any = FakeReader(chunks)
    done = RepairResult()
    way = RepairContext(table.repair_rows, table, stop, exact=exact)
    repair(reader, scope_of(chunks, partitions=2), found(table, chunks, exact=exact), way, done)
    return done


CHANGES: list[dict[str, Any]] = [
    {"status": "bogus"},
    {"attempt": None},
    {"attempt": 0},
    {"attempt": 9},
    {"latest": None},
    {"latest": NOON - 10_000},
    {"latest": 2**63 - 1},
    {"latest": NOON - 10_000, "attempt": None, "status": "bogus"},
]


@settings(max_examples=150)
@given(logs(LOGS[0].id), logs(LOGS[1].id), st.data())
def test_a_row_that_differs_is_mended_where_it_stands_and_never_set_back(
    first: list[Event], second: list[Event], data: st.DataObject
) -> None:
    taken = data.draw(interleaved(first, [in_second(item) for item in second]), "as they were written")
    before = one_by_one({}, taken)
    by_log = [[item for item in taken if item.log_id == log.id] for log in LOGS.values()]
    chunks = data.draw(st.sampled_from((by_log, by_log[::-1])), "as they are read")
    table = FakeTable(before)
    job_id = data.draw(st.sampled_from(sorted(before)))
    change = data.draw(st.sampled_from(CHANGES))
    own = before[job_id]
    shown = next(item for item in taken if (item.log_id, item.offset) == (own.log, own.offset))
    # without an attempt in the event that the row shows, nobody can tell an attempt that was lowered from news
    assume("attempt" not in change or shown.attempt is not None)
    table.change(job_id, **change)
    finding = found(table, chunks).get(job_id)
    assume(finding is not None and finding.kind == "different")
    repaired(table, chunks)
    row = table.table[job_id]
    assert (row.log, row.offset, row.status, row.event_id) == (own.log, own.offset, own.status, own.event_id)
    assert found(table, chunks) == {}
    assert {**table.table, job_id: own} == before


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("change", [{"attempt": None}, {"latest": NOON}])
def test_an_event_of_the_other_partition_that_came_before_does_not_come_again(
    order: tuple[int, int], change: dict[str, Any]
) -> None:
    first = [event("a", 0, attempt=2, time=5), event("b", 1, time=9)]
    second = [event("a", 0, attempt=2, time=8, status="success"), event("b", 1, attempt=1, time=4, status="success")]
    both = [first, [in_second(item) for item in second]]
    table = FakeTable(one_by_one({}, [*both[0], *both[1]]))
    right = dict(table.table)
    for job_id in right:
        table.change(job_id, **change)
    repaired(table, [both[number] for number in order])
    assert table.table == right


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_row_at_no_event_of_its_own_becomes_what_both_partitions_make_whichever_is_read_first(
    order: tuple[int, int],
) -> None:
    first = [event("a", 0, attempt=3, time=1), event("b", 1, attempt=1, time=9), event("c", 2)]
    second = [event("a", 0, time=5, status="success"), event("b", 1, attempt=2, time=4, status="success")]
    taken = [*first, *map(in_second, second)]
    taken = [item._replace(raw=item.raw._replace(timestamp=number)) for number, item in enumerate(taken)]
    table = FakeTable(one_by_one({}, taken))
    right = dict(table.table)
    for job_id in ("a", "b"):
        table.change(job_id, log=LOGS[0].id, offset=2)
    both = [taken[:3], taken[3:]]
    repaired(table, [both[number] for number in order])
    assert table.table == right


def test_news_of_a_row_that_differs_goes_through_the_guard_once_it_is_set() -> None:
    events = [event("a", 0, time=1), event("a", 1, time=2), in_second(event("a", 0, time=7, status="success"))]
    table = FakeTable(one_by_one({}, events[:1]))
    table.change("a", status="bogus")
    done = repaired(table, [events[2:], events[:2]])
    assert table.table["a"].status == "success"
    assert (done.set_rows, done.moved_on) == (1, 0)


class Strict(FakeTable):
    """Refuses the rows of some jobs, and with them every statement that they are in."""

    def __init__(self, table: Table, bad: set[str]) -> None:
        super().__init__(table)
        self.bad = bad
        self.statements = 0

    def repair_rows(self, rows: Sequence[RowRepair]) -> set[str]:
        self.statements += 1
        if self.bad & {item.job_id for item in rows}:
            raise BadRowError("refused", sqlstate="23514", error_class="CheckViolation", where="short")
        return super().repair_rows(rows)


def test_a_row_that_is_refused_keeps_no_other_from_being_mended() -> None:
    events = [event(f"job-{number}", number) for number in range(8)]
    right = one_by_one({}, events)
    table = Strict(right, {"job-2", "job-7"})
    for job_id in right:
        table.change(job_id, status="bogus")
    done = repaired(table, [events])
    assert done.refused == dict.fromkeys(("job-2", "job-7"), "CheckViolation (23514, short)")
    assert (done.set_rows, done.moved_on) == (6, 0)
    assert {job for job, row in table.table.items() if row != right[job]} == {"job-2", "job-7"}
    assert table.statements == 11


@pytest.mark.parametrize(("exact", "attempt", "latest"), [(True, None, NOON + 3), (False, 5, NOON + 9)])
def test_a_row_at_no_event_of_its_own_keeps_what_a_removed_event_may_have_brought(
    exact: bool, attempt: int | None, latest: int
) -> None:
    history = [event("a", 0, attempt=5, time=9), event("a", 1, time=3), event("b", 2)]
    table = FakeTable(one_by_one({}, history))
    table.change("a", offset=2)
    repaired(table, [history[1:]], exact=exact)
    row = table.table["a"]
    assert (row.offset, row.attempt, row.latest) == (1, attempt, latest)
    assert row.status == history[1].status


def test_a_stop_ends_the_setting_of_rows_after_the_batch_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[repair.__module__], "AT_ONCE", 3)
    events = [event(f"job-{number}", number) for number in range(9)]
    table = Strict(one_by_one({}, events), set())
    for job_id in table.table:
        table.change(job_id, status="bogus")
    done = repaired(table, [events], stop=lambda: table.statements >= 2)
    assert (done.set_rows, done.complete) == (6, False)
    assert done.summary().startswith("6 rows were set")
    assert sum(row.status == "bogus" for row in table.table.values()) == 3
    done = repaired(table, [events])
    assert (done.set_rows, done.complete) == (3, True)
