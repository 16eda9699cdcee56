"""What verify says of any table that the rule can make, and of rows that were changed by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobstatus_consumer.operations import findings
from jobstatus_consumer.operations import verify as module
from jobstatus_consumer.operations.findings import SLACK, Report
from jobstatus_consumer.operations.ranges import OffsetRange
from jobstatus_consumer.operations.scope import Scope
from jobstatus_consumer.operations.verify import FORGOTTEN, OUT_OF_TURN, UNEXPLAINED, Verifier
from jobstatus_consumer.records import Event, Log
from jobstatus_consumer.store import Row
from law.events import LOG_A, NOON, event
from law.histories import logs
from law.model import Row as ModelRow
from law.model import Table, one_by_one
from support.fake_table import real_row

LOG = Log("job-status", "AAAAAAAAAAAAAAAAAAAAAA", 0)
SCOPE = Scope("job-status", [OffsetRange(0, 0, 10)], {0: LOG})


class Rows:
    """A table as the model has it."""

    def __init__(self, rows: Table) -> None:
        self.table = rows

    def rows(self, jobs: Iterable[str]) -> dict[str, Row]:
        return {job_id: real_row(self.table[job_id]) for job_id in jobs if job_id in self.table}

    def positions(self, limit: int = 2**62) -> list[tuple[str, str, int, bool]]:
        return [
            (job_id, row.log, row.offset, (row.latest or 0) >= limit)
            for job_id, row in self.table.items()
            if row.log and row.offset is not None
        ]


def judged(table: Table, events: list[Event], *, exact: bool = True, start: int = 0, **given: Any) -> Report:
    rows = Rows(table)
    scope = replace(SCOPE, stretches=[OffsetRange(0, start, 10)])
    options: dict[str, Any] = {"ignore_missing": False, "show_values": True, **given}
    verifier: Any = Verifier(rows, scope, exact=exact, **options)  # type: ignore[arg-type]
    verifier.take(events)
    verifier.take_positions(rows.positions(verifier.limit), {0: 10})
    verifier.conclude()
    return verifier.report  # type: ignore[no-any-return]


def kinds(table: Table, events: list[Event], **given: Any) -> dict[str, str]:
    return {job_id: finding.kind for job_id, finding in judged(table, events, **given).findings.items()}


@settings(max_examples=150)
@given(logs(LOG_A))
def test_a_table_that_the_rule_made_has_no_fault(events: list[Event]) -> None:
    report = judged(one_by_one({}, events), events)
    assert report.findings == {}
    assert report.explained == {}
    assert kinds(one_by_one({}, events), events, strict=True) == {}


@settings(max_examples=300)
@given(logs(LOG_A), st.data())
def test_rows_that_a_consumer_wrote_before_a_replay_came_to_them_are_named_if_asked(
    events: list[Event], data: st.DataObject
) -> None:
    news = data.draw(st.integers(0, len(events)), "where the consumer was when the table was emptied")
    table = one_by_one(one_by_one({}, events[news:]), events)
    model = one_by_one({}, events)
    wrong = {job: "out_of_turn" for job in model if table[job] != model[job]}
    assert kinds(table, events, strict=True) == wrong
    report = judged(table, events)
    assert report.findings == {}
    assert report.out_of_turn.keys() <= wrong.keys()
    if len({event.time for event in events}) == len(events) and all(event.attempt is None for event in events):
        # else an event that a lower attempt would have put aside may be what is missing: only the whole log tells
        shown = {job for job in wrong if replace(table[job], latest=0) != replace(model[job], latest=0)}
        assert report.explained.get(OUT_OF_TURN, 0) >= len(shown)
        assert judged(table, events, exact=False, strict=True).findings.keys() >= shown


@pytest.mark.parametrize(
    ("before", "own", "named"),
    [
        ({"attempt": 2}, {"attempt": 1, "time": 5}, True),
        ({"attempt": 1}, {"time": 5}, True),
        ({"time": 9}, {"time": 5, "late": True}, True),
        ({"time": 9}, {"time": 5, "late": True, "attempt": 1}, True),
        ({"time": 9, "attempt": 1}, {"time": 5, "late": True, "attempt": 1}, True),
        ({"time": 9, "attempt": 1}, {"time": 5, "late": True, "attempt": 2}, False),
        ({"attempt": 1}, {"time": 5, "attempt": 2}, False),
        ({}, {"time": 5}, False),
    ],
)
def test_a_row_written_without_the_event_before_it_is_known_by_its_attempt_or_time(
    before: dict[str, Any], own: dict[str, Any], named: bool
) -> None:
    history = [event("job-1", 0, **{"time": 1, **before}), event("job-1", 1, **own)]
    report = judged(one_by_one({}, history[1:]), history, exact=False, strict=True)
    assert {job: finding.kind for job, finding in report.findings.items()} == (
        {"job-1": "out_of_turn"} if named else {}
    )


@settings(max_examples=150)
@given(logs(LOG_A), st.data())
def test_what_retention_removed_puts_no_row_out_of_turn(events: list[Event], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(events)))
    assert kinds(one_by_one({}, events), events[start:], exact=False, start=start, strict=True) == {}


@settings(max_examples=100)
@given(logs(LOG_A), st.data())
def test_rows_that_are_gone_are_missing_and_rows_of_before_are_behind(events: list[Event], data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(events)))
    now = one_by_one({}, events)
    before = one_by_one({}, events[:end])
    found = kinds(before, events)
    assert {job for job, kind in found.items() if kind == "missing"} == now.keys() - before.keys()
    assert {job for job, kind in found.items() if kind == "behind"} == {
        job for job in before if before[job] != now[job]
    }
    assert not {kind for kind in kinds(before, events, ignore_missing=True).values() if kind == "missing"}


@settings(max_examples=100)
@given(logs(LOG_A), st.data())
def test_a_row_that_has_moved_on_past_the_end_is_no_fault(events: list[Event], data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(events)))
    rows = Rows(one_by_one({}, events))
    scope = Scope("job-status", [OffsetRange(0, 0, end)], {0: LOG})
    verifier: Any = Verifier(rows, scope, exact=True, ignore_missing=False, show_values=False)  # type: ignore[arg-type]
    verifier.take(events[:end])
    verifier.take_positions(rows.positions(), {0: len(events)})
    assert verifier.report.findings == {}


CHANGES: list[dict[str, Any]] = [
    {"status": "bogus"},
    {"error_message": "bogus"},
    {"worker_id": "bogus"},
    {"occurred_at": 5},
    {"event_id": "00000000-0000-0000-0000-000000000000"},
    {"attempt": 9},
    {"latest": NOON + 10_000},
    {"latest": NOON - 10_000},
    {"latest": None},
    {"offset": 10**6},
]


@settings(max_examples=150)
@given(logs(LOG_A), st.data())
def test_a_row_that_was_changed_by_hand_is_named(events: list[Event], data: st.DataObject) -> None:
    table = one_by_one({}, events)
    job_id = data.draw(st.sampled_from(sorted(table)))
    change = data.draw(st.sampled_from(CHANGES))
    table[job_id] = ModelRow(**{**vars(table[job_id]), **change})
    assert kinds(table, events) == {job_id: "different"}


@settings(max_examples=100)
@given(logs(LOG_A), st.data())
def test_a_position_that_is_another_jobs_is_named(events: list[Event], data: st.DataObject) -> None:
    table = one_by_one({}, events)
    job_id = data.draw(st.sampled_from(sorted(table)))
    others = [event.offset for event in events if event.job_id != job_id]
    if others:
        table[job_id] = ModelRow(**{**vars(table[job_id]), "offset": data.draw(st.sampled_from(others))})
        assert kinds(table, events)[job_id] == "different"


def test_where_the_log_does_not_begin_at_its_beginning_an_older_attempt_is_no_fault() -> None:
    events = [event("job-1", 5, time=5)]
    table = one_by_one({}, events)
    table["job-1"] = ModelRow(**{**vars(table["job-1"]), "attempt": 3, "latest": NOON + 9})
    report = judged(table, events, exact=False)
    assert (report.findings, report.explained) == ({}, {UNEXPLAINED: 1})
    assert kinds(table, events) == {"job-1": "different"}


@pytest.mark.parametrize("exact", [False, True])
def test_a_time_that_is_yet_to_come_is_named_whatever_is_there_of_the_log(exact: bool) -> None:
    events = [event("job-1", 5, time=5), event("job-2", 6, time=6)]
    table = one_by_one({}, events)
    limit = NOON + SLACK + 1
    for job_id, latest in (("job-1", limit - 1), ("job-2", limit)):
        table[job_id] = ModelRow(**{**vars(table[job_id]), "latest": latest})
    report = judged(table, events, exact=exact, limit=limit)
    named = {job: item.columns for job, item in report.findings.items()}
    assert named == dict.fromkeys(["job-1", "job-2"] if exact else ["job-2"], ("latest_occurred_at",))
    assert report.explained == ({} if exact else {UNEXPLAINED: 1})
    # of rows whose event is not there any more nothing else is known
    report = judged(table, [], exact=False, start=7, limit=limit)
    assert {job: item.columns for job, item in report.findings.items()} == {"job-2": ("latest_occurred_at",)}
    assert sum(report.explained.values()) == 1
    # and the broker's clock may be ahead of the one here
    stamped = [item._replace(raw=item.raw._replace(timestamp=(limit + 5) // 1000)) for item in events]
    assert judged(table, stamped, exact=False, limit=limit).findings == {}


def test_with_more_jobs_than_fit_it_is_said_that_not_all_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHED_ROWS", 1)
    events = [event(f"job-{number}", number, time=number) for number in range(4)]
    table = one_by_one({}, events)
    verifier: Any = Verifier(Rows(table), SCOPE, exact=True, ignore_missing=False, show_values=False)  # type: ignore[arg-type]
    for chunk in (events[:2], events[2:]):
        verifier.take(chunk)
    verifier.conclude()
    assert (verifier.report.findings, verifier.report.explained) == ({}, {FORGOTTEN: 2})
    assert not verifier.report.exact


def test_findings_beyond_those_that_are_named_are_counted_once_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [event(f"job-{number % 3}", number, time=number) for number in range(9)]
    table = one_by_one({}, events[:2])
    named = kinds(table, events)
    assert [list(named.values()).count(kind) for kind in ("missing", "behind")] == [1, 2]
    table["job-1"] = ModelRow(**{**vars(table["job-1"]), "status": "bogus"})
    monkeypatch.setattr(findings, "NAMED", 1)
    report = judged(table, events)
    assert report.kinds() == {"missing": 1, "behind": 1, "different": 1, "out_of_turn": 0}
    assert (len(report.findings), report.total) == (1, 3)


def test_a_row_of_a_log_that_never_was_is_held_against_the_event_with_its_own_id() -> None:
    events = [event("job-1", 0, time=1), event("job-2", 1, time=2), event("job-3", 2, time=3)]
    table = one_by_one({}, events)
    for job_id, status in (("job-1", "bogus"), ("job-2", table["job-2"].status)):
        table[job_id] = ModelRow(**{**vars(table[job_id]), "log": "gone/x/0", "status": status})
    of_this = {job: row for job, row in table.items() if row.log == LOG_A}
    verifier: Any = Verifier(Rows(table), SCOPE, exact=False, ignore_missing=False, show_values=False)  # type: ignore[arg-type]
    verifier.take(events)
    verifier.take_positions(Rows(of_this).positions(), {0: 10})
    verifier.conclude()
    found = verifier.report.findings
    assert {job: (item.columns, item.whole) for job, item in found.items()} == {"job-1": (("status",), True)}
