"""The hub of waits: what it looks up and when, and that no wait is forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

import pytest
from jobstatus_reader import DatabaseUnavailableError, ReaderClosedError, ReaderError, ReaderSetupError
from jobstatus_reader.job import COLUMNS, Row
from jobstatus_reader.waiting import LONGEST, SHORTEST, Waiter, Waits
from support.waiting import until

DONE = frozenset({"success", "error"})


def job(job_id: str, status: str) -> Row:
    return (job_id, status, *[None] * (len(COLUMNS) - 2))


class Table:
    """What the hub asks; it counts the lookups and fails with `error` while there is one."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.looks: list[set[str]] = []
        self.error: Exception | None = None

    def look(self, jobs: Iterable[str]) -> Mapping[str, Row]:
        self.looks.append(set(jobs))
        if self.error is not None:
            raise self.error
        return {job_id: self.rows[job_id] for job_id in self.looks[-1] if job_id in self.rows}


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def waits(table: Table) -> Iterator[Waits]:
    found = Waits(table.look)
    yield found
    found.close()


def test_a_job_that_has_the_status_is_answered_at_once(table: Table, waits: Waits) -> None:
    table.rows["a"] = job("a", "success")
    waiter = waits.add("a", DONE)
    assert waiter.future.result(30).status == "success"


def test_a_job_without_a_row_is_waited_for(table: Table, waits: Waits) -> None:
    waiter = waits.add("new", DONE)
    until(lambda: waiter.looks >= 2, "two lookups")
    assert not waiter.future.done()
    table.rows["new"] = job("new", "processing")
    until(lambda: waiter.last is not None, "the row is seen")
    assert not waiter.future.done()
    table.rows["new"] = job("new", "error")
    assert waiter.future.result(30).status == "error"


def test_many_waiters_are_looked_up_together_and_the_thread_ends_with_the_last(table: Table, waits: Waits) -> None:
    waiters = [waits.add(f"job-{number}", DONE) for number in range(1000)]
    until(lambda: all(waiter.looks >= 3 for waiter in waiters), "three lookups of each")
    lookups = sum(waiter.looks for waiter in waiters)
    assert len(table.looks) < lookups / 100
    table.rows = {waiter.job_id: job(waiter.job_id, "success") for waiter in waiters}
    assert {waiter.future.result(30).status for waiter in waiters} == {"success"}
    until(lambda: not [item for item in threading.enumerate() if item.name == "jobstatus-reader"], "no thread is left")
    assert waits.add("job-1", DONE).future.result(30).status == "success"


def test_two_waiters_of_one_job_get_their_own_answers(table: Table, waits: Waits) -> None:
    first, second = waits.add("a", frozenset({"processing"})), waits.add("a", DONE)
    table.rows["a"] = job("a", "processing")
    assert first.future.result(30).status == "processing"
    assert not second.future.done()
    table.rows["a"] = job("a", "success")
    assert second.future.result(30).status == "success"


@pytest.mark.parametrize(("age", "pause"), [(0.0, SHORTEST), (0.5, SHORTEST), (10.0, 0.5), (3600.0, LONGEST)])
def test_who_has_waited_longer_is_looked_up_less_often(age: float, pause: float) -> None:
    waiter = Waiter("a", DONE, 1000.0)
    waiter.postpone(1000.0 + age)
    assert waiter.due == pytest.approx(1000.0 + age + pause)


def test_a_database_that_never_answered_ends_a_wait_and_one_that_did_does_not(table: Table, waits: Waits) -> None:
    table.error = DatabaseUnavailableError("refused")
    with pytest.raises(DatabaseUnavailableError, match="refused"):
        waits.add("a", DONE).future.result(30)
    table.error = None
    waiter = waits.add("a", DONE)
    until(lambda: waiter.looks > 0, "a lookup")
    table.error = DatabaseUnavailableError("restarts")
    until(lambda: waits.trouble, "the lookup fails")
    assert not waiter.future.done()
    table.rows["a"] = job("a", "success")
    table.error = None
    assert waiter.future.result(30).status == "success"
    assert waits.trouble == ""


def test_an_error_of_the_deployment_ends_every_wait_with_an_error_of_its_own(table: Table, waits: Waits) -> None:
    table.error = ReaderSetupError("no table")
    errors = [waits.add(name, DONE).future.exception(30) for name in ("a", "b")]
    assert [type(error) for error in errors] == [ReaderSetupError, ReaderSetupError]
    assert errors[0] is not errors[1]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_that_nobody_expected_ends_the_waits_and_not_the_hub(table: Table, waits: Waits) -> None:
    table.error = RuntimeError("odd")
    with pytest.raises(ReaderError, match="RuntimeError"):
        waits.add("a", DONE).future.result(30)
    table.error = None
    table.rows["a"] = job("a", "success")
    assert waits.add("a", DONE).future.result(30).status == "success"


def test_close_ends_every_wait_and_no_other_begins(table: Table, waits: Waits) -> None:
    waiters = [waits.add(f"job-{number}", DONE) for number in range(10)]
    waits.close()
    for waiter in waiters:
        with pytest.raises(ReaderClosedError):
            waiter.future.result(0)
    with pytest.raises(ReaderClosedError):
        waits.add("late", DONE)


def test_a_wait_that_nobody_awaits_any_more_is_looked_up_no_more(table: Table, waits: Waits) -> None:
    waiter, other = waits.add("a", DONE), waits.add("b", DONE)
    until(lambda: waiter.looks > 0, "a lookup")
    waits.remove(waiter)
    before = len(table.looks)
    until(lambda: len(table.looks) >= before + 2, "two more lookups")
    assert table.looks[-1] == {"b"}
    assert not other.future.done()


def test_a_slow_database_is_asked_no_more_often_than_a_twentieth_of_the_time() -> None:
    spans: list[tuple[float, float]] = []

    def look(_: Iterable[str]) -> Mapping[str, Row]:
        began = time.monotonic()
        time.sleep(0.02)
        spans.append((began, time.monotonic()))
        return {}

    waits = Waits(look)
    waits.add("a", DONE)
    until(lambda: len(spans) >= 4, "four lookups")
    waits.close()
    assert min(after[0] - before[1] for before, after in pairwise(spans)) >= 0.39
