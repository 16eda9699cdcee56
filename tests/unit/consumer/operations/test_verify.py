"""What verify says of any table that the rule can make, and of rows that were changed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobstatus_consumer.operations import findings
from jobstatus_consumer.operations.findings import AFTER, NO_POSITION, OTHER_LOG, OUT_OF_TURN, UNEXPLAINED, VerifyReport
from jobstatus_consumer.operations.suspects import SLACK, Criteria
from jobstatus_consumer.operations.verify import is_exact, time_limit, verify
from jobstatus_consumer.records import Event
from jobstatus_schemas.event import MAX_OCCURRED_AT
from law.events import LOG_A, NOON, event
from law.histories import logs
from law.model import Row as ModelRow
from law.model import Table, foreign, one_by_one
from support.fake_log import FakeReader, scope_of
from support.fake_table import FakeTable

Change = dict[str, Any]


def judged(
    table: Table,
    events: list[Event],
    *,
    start: int = 0,
    end: int = 10,
    high: int = 10,
    memory: int = 10**9,
    exact: bool = True,
    **given: Any,
) -> VerifyReport:
    chunks = [events[:3], events[3:]]
    reader: Any = FakeReader(chunks, high)
    rows: Any = FakeTable(table)
    scope = scope_of(chunks, start=start, end=end)
    return verify(reader, scope, rows, Criteria(exact, **given), lambda: False, limit=memory)


def kinds(table: Table, events: list[Event], **given: Any) -> dict[str, str]:
    return {job_id: finding.kind for job_id, finding in judged(table, events, **given).findings.items()}


def changed(table: Table, job_id: str, **values: Any) -> Table:
    return {**table, job_id: replace(table[job_id], **values)}


@settings(max_examples=150)
@given(logs(LOG_A))
def test_a_table_that_the_rule_made_has_no_fault(events: list[Event]) -> None:
    for strict in (False, True):
        report = judged(one_by_one({}, events), events, strict=strict)
        assert (report.findings, report.explained, report.complete) == ({}, {}, True)


@settings(max_examples=100)
@given(logs(LOG_A), st.data(), st.integers(500, 1500))
def test_the_answer_is_the_same_where_memory_holds_only_some_of_the_jobs(
    events: list[Event], data: st.DataObject, memory: int
) -> None:
    events = [
        item._replace(content=item.content._replace(job_id=job), raw=item.raw._replace(key=job.encode()))
        for item, job in _spread(events)
    ]
    table = one_by_one({}, events[: data.draw(st.integers(0, len(events)))])
    for job_id in data.draw(st.sets(st.sampled_from(sorted(table)))) if table else ():
        table = changed(table, job_id, **data.draw(st.sampled_from(CHANGES)))
    whole, parts = judged(table, events), judged(table, events, memory=memory)
    assert (parts.findings, parts.explained) == (whole.findings, whole.explained)
    assert (parts.counts.records, parts.counts.events) == (len(events), len(events))


def _spread(events: list[Event]) -> list[tuple[Event, str]]:
    """The events of few jobs as those of twice as many."""
    return [(item, f"{item.job_id} {item.offset % 2}") for item in events]


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
    assert report.explained == ({OUT_OF_TURN: len(wrong)} if wrong else {})
    if len({event.time for event in events}) == len(events) and all(event.attempt is None for event in events):
        # else an event that a lower attempt would have put aside may be what is missing: only the whole log tells
        shown = {job for job in wrong if replace(table[job], latest=0) != replace(model[job], latest=0)}
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
    before: Change, own: Change, named: bool
) -> None:
    history = [event("job-1", 0, **{"time": 1, **before}), event("job-1", 1, **own)]
    table = one_by_one({}, history[1:])
    assert kinds(table, history, exact=False, strict=True) == ({"job-1": "out_of_turn"} if named else {})
    report = judged(table, history, exact=False)
    assert (report.findings, report.explained) == ({}, {OUT_OF_TURN: 1} if named else {})


@settings(max_examples=150)
@given(logs(LOG_A), st.data())
def test_what_retention_removed_puts_no_row_out_of_turn(events: list[Event], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(events)))
    assert kinds(one_by_one({}, events), events, exact=False, start=start, strict=True) == {}


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
    assert kinds(before, events, strict=True) == found
    assert not {kind for kind in kinds(before, events, ignore_missing=True).values() if kind == "missing"}


def test_a_finding_names_the_event_that_shows_it() -> None:
    events = [event("gone", 0), event("old", 1), event("old", 2), event("old", 3), event("odd", 4)]
    table = changed(one_by_one({}, [events[1], events[4]]), "odd", status="bogus")
    report = judged(table, events)
    assert {job: (item.kind, item.event, item.log_offset) for job, item in report.findings.items()} == {
        "gone": ("missing", "0:0", None),
        "old": ("behind", "0:2", 1),
        "odd": ("different", "0:4", 4),
    }


@settings(max_examples=100)
@given(logs(LOG_A), st.data())
def test_a_row_that_has_moved_on_past_the_end_is_no_fault(events: list[Event], data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(events)))
    table = one_by_one({}, events)
    report = judged(table, events, end=end, high=len(events))
    assert report.findings == {}
    past = sum((row.offset or 0) >= end for row in table.values())
    assert report.explained == ({AFTER: past} if past else {})


def test_a_row_past_all_that_the_log_ever_had_is_different() -> None:
    events = [event("job-1", 0), event("job-2", 1)]
    table = {job: replace(row, offset=12) for job, row in one_by_one({}, events).items()}
    assert kinds(table, events, high=13) == {}
    report = judged(table, events, high=12)
    assert {job: item.columns for job, item in report.findings.items()} == dict.fromkeys(table, ("log_offset",))
    # of a job without an event in the range, too
    assert kinds(table, events[:1], high=12).keys() == table.keys()


def test_rows_written_meanwhile_are_there_when_the_end_of_the_log_is_asked() -> None:
    events = [event("job-1", 0), event("job-2", 1)]
    rows: Any = FakeTable(one_by_one({}, events))
    reader: Any = FakeReader([events], high=2)

    class Moving(FakeTable):
        """A live consumer writes an event while rows are compared."""

        def differing(self, rows: Any) -> Any:
            reader.high = 3
            self.change("job-1", offset=2)
            return super().differing(rows)

    rows = Moving(rows.table)
    report = verify(reader, scope_of([events], end=2), rows, Criteria(exact=True), lambda: False)
    assert (report.findings, report.explained) == ({}, {AFTER: 1})


CHANGES: list[Change] = [
    {"status": "bogus"},
    {"error_message": "bogus"},
    {"worker_id": "bogus"},
    {"occurred_at": 5},
    {"event_id": "00000000-0000-0000-0000-000000000000"},
    {"attempt": 9},
    {"latest": NOON + 10_000},
    {"latest": NOON - 10_000},
    {"latest": None},
    {"latest": 2**63 - 1},
    {"offset": 10**6},
]
NAMES = {"latest": "latest_occurred_at", "offset": "log_offset"}


@settings(max_examples=150)
@given(logs(LOG_A), st.data())
def test_a_row_that_was_changed_by_hand_is_named_with_the_column(events: list[Event], data: st.DataObject) -> None:
    table = one_by_one({}, events)
    job_id = data.draw(st.sampled_from(sorted(table)))
    change = data.draw(st.sampled_from(CHANGES))
    found = judged(changed(table, job_id, **change), events, show_values=True).findings
    assert found.keys() == {job_id}
    finding = found[job_id]
    ((column, value),) = change.items()
    assert (finding.kind, finding.columns) == ("different", (NAMES.get(column, column),))
    assert finding.misplaced == (column == "offset")
    if not finding.misplaced:
        assert finding.values is not None
        assert finding.values[finding.columns[0]][0] == value
    assert judged(changed(table, job_id, **change), events).findings[job_id].values is None


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("attempt", [None, 1, 3])
def test_another_attempt_than_that_of_the_event_is_named(attempt: int | None, exact: bool) -> None:
    events = [event("job-1", 0, attempt=3), event("job-2", 1, attempt=2), event("job-2", 2, attempt=1)]
    table = one_by_one({}, events)
    found = judged(changed(table, "job-2", attempt=attempt), events, exact=exact).findings
    assert {job: (item.kind, item.columns) for job, item in found.items()} == {"job-2": ("different", ("attempt",))}


@settings(max_examples=100)
@given(logs(LOG_A), st.data())
def test_a_position_that_is_another_jobs_is_named(events: list[Event], data: st.DataObject) -> None:
    table = one_by_one({}, events)
    job_id = data.draw(st.sampled_from(sorted(table)))
    others = [event.offset for event in events if event.job_id != job_id]
    if others:
        finding = judged(changed(table, job_id, offset=data.draw(st.sampled_from(others))), events).findings[job_id]
        assert (finding.kind, finding.columns, finding.misplaced) == ("different", ("log_offset",), True)


def test_a_row_of_a_job_without_any_event_is_named() -> None:
    events = [event("job-1", 0)]
    table = one_by_one({}, events)
    report = judged({**table, "never": table["job-1"]}, events)
    assert {job: (item.kind, item.event) for job, item in report.findings.items()} == {"never": ("different", "0:0")}


def test_where_the_log_does_not_begin_at_its_beginning_an_older_attempt_is_no_fault() -> None:
    events = [event("job-1", 5, time=5)]
    table = changed(one_by_one({}, events), "job-1", attempt=3, latest=NOON + 9)
    report = judged(table, events, exact=False)
    assert (report.findings, report.explained) == ({}, {UNEXPLAINED: 1})
    assert kinds(table, events) == {"job-1": "different"}


def test_rows_of_others_are_explained_unless_an_event_would_change_them() -> None:
    events = [event("job-1", 0, attempt=1), event("job-2", 1, attempt=1)]
    gone = replace(one_by_one({}, events)["job-1"], log="gone/x/0")
    table = {
        "job-1": replace(gone, event_id="00000000-0000-0000-0000-000000000000"),
        "job-2": foreign(2, None),
        "job-3": foreign(None, None),
        "job-4": gone,
    }
    report = judged(table, events)
    assert (report.findings, report.explained) == ({}, {NO_POSITION: 2, OTHER_LOG.format(log_id="gone/x/0"): 2})
    table["job-1"], table["job-2"] = replace(gone, attempt=0), foreign(1, None)
    assert kinds(table, events) == {"job-1": "behind", "job-2": "behind"}


@pytest.mark.parametrize("exact", [False, True])
def test_a_time_that_is_yet_to_come_is_named_whatever_is_there_of_the_log(exact: bool) -> None:
    events = [event("job-1", 5, time=5), event("job-2", 6, time=6)]
    table = one_by_one({}, events)
    limit = NOON + SLACK + 1
    for job_id, latest in (("job-1", limit - 1), ("job-2", limit)):
        table = changed(table, job_id, latest=latest)
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
    # but no clock makes a time right that no event can have
    stamped = [item._replace(raw=item.raw._replace(timestamp=2**60)) for item in events]
    table = changed(table, "job-2", latest=MAX_OCCURRED_AT)
    assert kinds(table, stamped, exact=False, limit=limit) == {"job-2": "different"}


def test_findings_beyond_those_that_are_named_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [event(f"job-{number % 3}", number, time=number) for number in range(9)]
    table = changed(one_by_one({}, events[:2]), "job-1", status="bogus")
    monkeypatch.setattr(findings, "NAMED", 1)
    report = judged(table, events)
    assert report.kinds() == {"missing": 1, "behind": 1, "different": 1, "out_of_turn": 0}
    assert (len(report.findings), report.total) == (1, 3)


def test_a_row_of_a_log_that_never_was_is_held_against_the_event_with_its_own_id() -> None:
    events = [event("job-1", 0, time=1), event("job-2", 1, time=2), event("job-3", 2, time=3)]
    table = one_by_one({}, events)
    for job_id, status in (("job-1", "bogus"), ("job-2", table["job-2"].status)):
        table = changed(table, job_id, log="gone/x/0", status=status)
    found = judged(table, events, exact=False).findings
    assert {job: (item.columns, item.event, item.from_all_events) for job, item in found.items()} == {
        "job-1": (("status",), "0:0", True)
    }


def test_a_table_that_is_right_is_read_for_once_and_one_that_is_not_twice() -> None:
    events = [event("job-1", 0), event("job-2", 1)]
    for table, reads in ((one_by_one({}, events), 1), (one_by_one({}, events[:1]), 1), (_bogus(events), 2)):
        reader: Any = FakeReader([events])
        rows: Any = FakeTable(table)
        verify(reader, scope_of([events]), rows, Criteria(exact=True), lambda: False)
        assert reader.reads == reads


def test_what_retention_removes_meanwhile_is_no_error_and_makes_no_row_wrong() -> None:
    events = [event("job-1", 0, time=9), event("job-2", 1), event("job-1", 2, time=1), event("job-2", 3)]
    reader: Any = FakeReader([events])

    class Cut(FakeTable):
        """Retention is at work while rows are compared."""

        def differing(self, rows: Any) -> Any:
            reader.lows[0] = 2
            return super().differing(rows)

    table: Any = Cut(changed(one_by_one({}, events), "job-1", attempt=3))
    report = verify(reader, scope_of([events]), table, Criteria(exact=True), lambda: False)
    assert (report.findings, report.explained, report.exact) == ({}, {UNEXPLAINED: 1}, False)


@pytest.mark.parametrize("after", range(4))
def test_a_stop_ends_it_with_a_report_that_is_not_complete(after: int) -> None:
    events = [event(f"job-{number}", number) for number in range(4)]
    answers = iter([False] * after)
    reader: Any = FakeReader([events])
    rows: Any = FakeTable(_bogus(events))

    def stop() -> bool:
        return next(answers, True)

    report = verify(reader, scope_of([events]), rows, Criteria(exact=True), stop)
    assert not report.complete


def _bogus(events: Sequence[Event]) -> Table:
    return {job: ModelRow(**{**vars(row), "status": "bogus"}) for job, row in one_by_one({}, events).items()}


def test_all_that_happened_is_in_the_log_only_if_every_partition_is_read_from_its_first_offset() -> None:
    whole = scope_of([], partitions=2)
    ids = [log.id for log in whole.logs.values()]
    assert is_exact(whole, ids)
    assert is_exact(whole, [])
    assert not is_exact(whole, [*ids, "gone/x/0"])
    assert not is_exact(scope_of([], partitions=2, start=1), ids)
    assert not is_exact(replace(whole, ranges=whole.ranges[:1]), ids)


def test_a_time_is_too_late_once_it_is_yet_to_come_where_the_broker_gives_the_times() -> None:
    assert time_limit(True, 1_000.5) == 1_000_500_000 + SLACK
    assert time_limit(False, 1_000.5) == MAX_OCCURRED_AT
