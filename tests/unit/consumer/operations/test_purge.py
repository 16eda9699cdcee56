"""How a purge goes through the finished rows: in pieces, with pauses, until a stop."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

from jobstatus_consumer.errors import DatabaseAwayError
from jobstatus_consumer.operations.purge import AT_ONCE, PAUSE, PurgeContext, PurgeResult, purge
from jobstatus_consumer.store import Finished, PurgeTable

FINISHED = Finished(("success",), 1)


class Stop(threading.Event):
    """Notes the pauses and makes none."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout or 0.0)
        return self.is_set()


class Table:
    """`left` are the finished rows; `busy` times a transaction does not begin."""

    def __init__(self, rows: int, busy: int = 0) -> None:
        self.left = [f"job-{number:05}" for number in range(rows)]
        self.listed = list(self.left)
        self.busy = busy
        self.pieces: list[int] = []
        self.analyzed = 0

    def finished(self, finished: Finished) -> list[str]:
        page, self.listed = self.listed[:1000], self.listed[1000:]
        return page

    def purge(self, finished: Finished, jobs: Sequence[str]) -> int:
        if self.busy:
            self.busy -= 1
            raise DatabaseAwayError("lock timeout", sqlstate="55P03")
        self.pieces.append(len(jobs))
        self.left = [job for job in self.left if job not in set(jobs)]
        return len(jobs)

    def analyze(self) -> None:
        self.analyzed += 1


def run(table: Table, stop: Any = None, **given: Any) -> tuple[PurgeResult, list[str], Any]:
    said: list[str] = []
    stop = stop or Stop()
    options = {"rate": 0.0, "full_speed": False, "stop": stop, "patience": 60.0, "say": said.append, **given}
    result = PurgeResult()
    purge(PurgeContext(cast(PurgeTable, table), **options), FINISHED, result, lambda done: None)
    return result, said, stop


def test_every_row_is_purged_in_small_transactions_with_a_pause_after_each() -> None:
    table = Table(2100)
    result, said, stop = run(table)
    assert (result.purged, result.complete, said) == (2100, True, [])
    assert max(table.pieces) == AT_ONCE
    assert sum(table.pieces) == 2100
    assert len(stop.pauses) >= len(table.pieces)
    assert PAUSE >= 10, "a purge slows writes by less than a tenth"
    assert 1 <= table.analyzed <= 3


def test_at_full_speed_there_is_no_pause() -> None:
    assert run(Table(600), full_speed=True)[2].pauses == []


def test_a_slow_rate_makes_smaller_pieces() -> None:
    table = Table(30)
    run(table, rate=10.0)
    assert max(table.pieces) == 10


def test_a_transaction_that_has_to_wait_is_tried_again_without_a_word() -> None:
    result, said, _ = run(Table(10, busy=2))
    assert (result.purged, said) == (10, [])
    assert run(Table(10, busy=5))[1] == ["waiting for the database: lock timeout; trying for 60 s"]


def test_a_stop_ends_it_between_two_pieces() -> None:
    table, stop = Table(1000), Stop()

    def purge_and_stop(finished: Finished, jobs: Sequence[str]) -> int:
        stop.set()
        return Table.purge(table, finished, jobs)

    table.purge = purge_and_stop  # type: ignore[method-assign]
    result, _, _ = run(table, stop)
    assert (result.purged, result.complete) == (AT_ONCE, False)
