"""Writing a replay: waiting for the database within a bound, keeping the pace, keeping the place."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from threading import Event as Flag
from typing import Any

import pytest
from jobstatus_consumer.cli import session
from jobstatus_consumer.errors import DatabaseAwayError, StopRequestedError
from jobstatus_consumer.kafka.commits import CommittedOffset
from jobstatus_consumer.operations import replay as live
from jobstatus_consumer.operations.ranges import OffsetRange
from jobstatus_consumer.operations.scope import Scope, current_logs
from jobstatus_consumer.records import Batch, Event, Log, Written
from jobstatus_schemas import JobStatusEvent, encode
from law.events import NOON, event

SCOPE = Scope("job-status", [OffsetRange(0, 0, 1200)], {0: Log("job-status", "id", 0)})


class Store:
    """Takes batches; is away for the first `away` of them."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.connected = False
        self.batches: list[Batch] = []

    def connect(self) -> None:
        self.connected = True

    def write(self, batch: Batch) -> Written:
        if self.away:
            self.away -= 1
            self.connected = False
            raise DatabaseAwayError("away")
        self.batches.append(batch)
        return Written(len(batch.events))


def table(store: Any, patience: float, stop: Flag | None = None, said: list[str] | None = None) -> live.LiveTable:
    return live.LiveTable(store, None, stop or Flag(), patience, (said if said is not None else []).append)


def test_a_database_that_is_away_is_waited_for_and_said_once() -> None:
    store, said, result = Store(away=2), [], live.ReplayResult()  # type: ignore[var-annotated]
    table(store, 30, said=said).write([event()], result)
    assert result.applied == 1
    assert len(said) == 1
    assert "waiting for the database: away" in said[0]
    assert store.batches[0].ranges == (), "a replay claims no progress"


def test_the_wait_has_an_end_and_a_stop_ends_it_at_once() -> None:
    with pytest.raises(DatabaseAwayError):
        table(Store(away=10**6), 0).write([event()], live.ReplayResult())
    stop = Flag()
    stop.set()
    with pytest.raises(StopRequestedError):
        table(Store(away=10**6), 60, stop).write([event()], live.ReplayResult())


class RangeReader:
    """1,200 events of one partition in three chunks, as the real reader gives them."""

    def __init__(self) -> None:
        self.positions: dict[int, int] = {}

    def read(self, ranges: Any, log_ids: Mapping[int, str], stop: Any) -> Any:
        for start in (0, 400, 800):
            if stop():
                return
            self.positions = {0: start + 400}
            yield [_raw(offset) for offset in range(start, start + 400)]


def _raw(offset: int) -> Any:
    made = JobStatusEvent(f"00000000-0000-0000-0000-{offset:012d}", "job-1", "x", None, None, None, NOON)
    return event(offset=offset).raw._replace(value=encode(made), timestamp=-1)


class Sink:
    """Counts; asks for a stop after so many batches."""

    def __init__(self, stop: Flag, after: int, error: Exception | None = None) -> None:
        self.stop = stop
        self.after = after
        self.error = error

    def write(self, chunk: Sequence[Event], result: live.ReplayResult) -> None:
        self.after -= 1
        if self.after == 0 and self.error is not None:
            raise self.error
        if self.after == 0:
            self.stop.set()
        result.applied += len(chunk)


def run(after: int, error: Exception | None = None) -> tuple[live.ReplayResult, list[Mapping[int, int]]]:
    stop, kept, result = Flag(), [], live.ReplayResult()  # type: ignore[var-annotated]
    reader: Any = RangeReader()
    sink = Sink(stop, after, error)
    with contextlib.suppress(DatabaseAwayError):
        live.run(reader, SCOPE, sink, stop, pace=live.Pace(0, stop), keep=kept.append, result=result)
    return result, kept


def test_what_was_written_is_what_the_result_and_the_place_say() -> None:
    result, kept = run(after=99)
    assert (result.complete, result.positions, kept[-1]) == (True, {0: 1200}, {0: 1200})
    result, kept = run(after=2)
    # the third chunk may have been read when the stop came
    assert (result.complete, kept[-1]) == (False, result.positions)
    assert result.applied == result.positions[0] >= 800
    result, kept = run(after=2, error=StopRequestedError("stop"))
    assert (result.complete, result.positions, kept[-1]) == (False, {0: 400}, {0: 400})
    result, kept = run(after=2, error=DatabaseAwayError("away"))
    assert (result.complete, result.positions) == (False, {0: 400})


class Waits:
    """A flag that only notes how long it was waited for."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


def test_the_pace_is_kept_over_all() -> None:
    waits: Any = Waits()
    pace = live.Pace(100, waits, clock=lambda: waits.seconds)
    for _ in range(10):
        pace.wait(50)
    assert waits.seconds == pytest.approx(5.0)
    free: Any = Waits()
    live.Pace(0, free).wait(10**9)
    assert free.seconds == 0


def test_the_generation_of_a_log_is_what_the_group_or_the_table_knows() -> None:
    reader: Any = type("R", (), {"topic": "t", "topic_id": "id", "partitions": [0, 1, 2, 3]})()
    commits = {0: CommittedOffset(5, "id", 1), 1: CommittedOffset(5, "other", 7), 2: CommittedOffset(5, "", 0)}
    known = {"t/id/2": 4, "t/id/2/3": 9, "t/id/22/8": 1, "t/other/3/4": 1, "t/id/0/x": 1}
    found = current_logs(reader, commits, known)
    assert [found[number].id for number in range(4)] == ["t/id/0/1", "t/id/1", "t/id/2/3", "t/id/3"]


def test_where_nobody_watches_a_line_tells_the_progress_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    observe = session._lines("replaying", 1000)
    for second in range(1, 11):
        now[0] = float(second)
        observe(second * 10)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "replaying: 50 of 1,000, 10/s, about 95 s left",
        "replaying: 100 of 1,000, 10/s, about 90 s left",
    ]
