"""Bad events are taken back as if they had never been, and nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jobstatus_consumer.operations.findings import OUT_OF_TURN, SET_BACK
from jobstatus_consumer.operations.scope import EventFilter
from jobstatus_consumer.operations.suspects import Criteria
from jobstatus_consumer.operations.undo import UndoResult, undo
from jobstatus_consumer.operations.verify import verify
from jobstatus_consumer.records import Event
from law.events import event
from law.histories import logs
from law.model import one_by_one
from support.fake_log import LOGS, FakeReader, scope_of
from support.fake_table import FakeTable


def undone(
    table: FakeTable, taken: Sequence[Event], start: int, end: int, *, dry_run: bool = False, status: str = ""
) -> UndoResult:
    reader: Any = FakeReader([taken])
    bad = replace(
        scope_of([taken], start=start, end=end), wanted=EventFilter(statuses=frozenset({status} if status else ()))
    )
    return undo(reader, bad, scope_of([taken]), table, lambda: False, dry_run=dry_run)


def test_only_rows_that_still_show_a_bad_event_are_set_back() -> None:
    taken = [
        event("right", 0, time=1),
        event("wrong", 1, time=2),
        event("wrong", 2, time=3, status="error"),
        event("right", 3, time=4, status="error"),
        event("right", 4, time=5, status="success"),
        event("new", 5, time=6, status="error"),
    ]
    table = FakeTable(one_by_one({}, taken))
    before = dict(table.table)
    planned = undone(table, taken, 2, 6, dry_run=True, status="error")
    assert (planned.jobs, planned.rows, planned.no_other_event_of, planned.set_rows) == (3, 1, ["new"], 0)
    assert table.table == before
    done = undone(table, taken, 2, 6, status="error")
    assert (done.set_rows, done.moved_on, done.no_other_event) == (1, 0, 1)
    assert table.table["wrong"].status == taken[1].status
    assert {job: table.table[job] for job in ("right", "new")} == {job: before[job] for job in ("right", "new")}
    assert undone(table, taken, 2, 6, status="error").set_rows == 0, "a second undo changes nothing"


def test_a_row_that_somebody_has_mended_by_hand_stays_as_it_is() -> None:
    taken = [event("a", 0, time=1), event("a", 1, time=2, status="error")]
    table = FakeTable(one_by_one({}, taken))
    table.change("a", status="success")
    assert undone(table, taken, 1, 2).rows == 0
    assert table.table["a"].status == "success"


def test_neither_a_replay_nor_verify_brings_bad_events_back() -> None:
    taken = [event("a", 0, attempt=1, time=1), event("a", 1, attempt=9, time=2, status="error")]
    # too low an attempt under the bad one: it counts once that is taken back
    taken.append(event("a", 2, attempt=1, time=3, status="success"))
    table = FakeTable(one_by_one({}, taken))
    assert table.table["a"].status == "error"
    undone(table, taken, 1, 2)
    row = table.table["a"]
    assert (row.status, row.attempt) == ("success", 1)
    table.write(taken, None)  # type: ignore[arg-type]
    assert table.table["a"] == row
    reader: Any = FakeReader([taken])
    assert verify(reader, scope_of([taken]), table, Criteria(True), lambda: False).findings == {}  # type: ignore[arg-type]


@settings(max_examples=150)
@given(logs(LOGS[0].id), st.data())
def test_a_job_goes_on_as_if_the_bad_events_had_never_been(taken: list[Event], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(taken)))
    end = data.draw(st.integers(start, len(taken)))
    table = FakeTable(one_by_one({}, taken))
    before = dict(table.table)
    result = undone(table, taken, start, end)
    others = one_by_one({}, [item for item in taken if not start <= item.offset < end])
    for job_id, row in before.items():
        now = table.table[job_id]
        if not start <= (row.offset or 0) < end or job_id not in others:
            assert now == row
        else:
            wanted = others[job_id]
            assert (now.status, now.event_id, now.attempt, now.latest) == (
                wanted.status,
                wanted.event_id,
                wanted.attempt,
                wanted.latest,
            )
    assert result.complete
    after = dict(table.table)
    table.write(taken, None)  # type: ignore[arg-type]
    assert table.table == after, "the log, read again, changes nothing"
    reader: Any = FakeReader([taken])
    found = verify(reader, scope_of([taken]), table, Criteria(False), lambda: False)  # type: ignore[arg-type]
    assert found.findings == {}
    assert found.explained.keys() <= {SET_BACK, OUT_OF_TURN}
