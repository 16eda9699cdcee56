"""Histories for the law: what may be delivered to a consumer, in what order, cut how.

Values come from domains so small that everything meets everything: two or three jobs, attempts 0 to 2, a handful of
times.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from jobstatus_consumer.records import Event
from law.events import LOG_A, LOG_B, NOON, event
from law.model import Table, foreign, one_by_one

JOBS = ("job-1", "job-2", "jöb 3")
LOGS = (LOG_A, LOG_B)


@dataclass(frozen=True)
class History:
    """`rows` were there before; `deliveries` come, cut into batches; of them `bad` can never be written."""

    rows: Table
    deliveries: Sequence[Sequence[Event]]
    bad: frozenset[tuple[str, int]] = frozenset()

    @property
    def in_order(self) -> list[Event]:
        return [item for batch in self.deliveries for item in batch]

    @property
    def expected(self) -> Table:
        """The table at the end, by the sequential model: what cannot be written is as if it had never been."""
        return one_by_one(self.rows, [item for item in self.in_order if not self.is_bad(item)])

    def is_bad(self, item: Event) -> bool:
        return (item.log_id, item.offset) in self.bad


ATTEMPTS = (None, None, None, 0, 1, 2)
TIMES = (None,) * 11 + tuple(range(11))
AHEAD = (0, 0, 7)
LATE = (False, True)
WORDS = (("processing", None), ("success", None), ("error", "it broke\n\"badly\" \\ 'so' ü"))


@functools.cache
def one_of_all(*fields: Sequence[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """A value for each field. It is one draw, because draws take most of a property's time."""
    return st.sampled_from(list(itertools.product(*fields)))


@st.composite
def logs(draw: st.DrawFn, log_id: str, jobs: Sequence[str] = JOBS) -> list[Event]:
    """What one log holds: times mostly rise, but a clock may be off; an event may be late, may have an attempt."""
    attempts = ATTEMPTS if draw(st.booleans()) else (None,)
    contents = draw(st.lists(one_of_all(tuple(jobs), attempts, TIMES, AHEAD, LATE, WORDS), min_size=1, max_size=10))
    return [
        event(
            job_id,
            offset,
            attempt=attempt,
            time=offset if time is None else time,
            ahead=ahead,
            late=late,
            log_id=log_id,
            status=status,
            error_message=message,
        )
        for offset, (job_id, attempt, time, ahead, late, (status, message)) in enumerate(contents)
    ]


@st.composite
def deliveries(draw: st.DrawFn, jobs: Sequence[str] = JOBS) -> list[Event]:
    """Runs of the logs, each read from anywhere to anywhere: the first read, a redelivery, a replay, a redrive."""
    contents = [draw(logs(log_id, jobs)) for log_id in LOGS[: draw(st.integers(1, 2))]]
    runs = one_of_all(range(len(contents)), range(10), range(1, 11))
    found: list[Event] = []
    for number, start, length in draw(st.lists(runs, min_size=1, max_size=4)):
        log = contents[number]
        start %= len(log)
        found += log[start : start + length]
    return found


@st.composite
def first_reads(draw: st.DrawFn, jobs: Sequence[str] = JOBS) -> list[Event]:
    """The logs as a consumer reads them: each from its beginning, nothing skipped, some of it again after a stop."""
    contents = [draw(logs(log_id, jobs)) for log_id in LOGS]
    ends = [0, 0]
    found: list[Event] = []
    runs = one_of_all(range(2), range(5), range(1, 7))
    for number, back, length in draw(st.lists(runs, min_size=1, max_size=5)):
        start = max(0, ends[number] - back)
        found += contents[number][start : start + length]
        ends[number] = max(ends[number], min(start + length, len(contents[number])))
    return found


@st.composite
def cuts(draw: st.DrawFn, events: Sequence[Event]) -> list[Sequence[Event]]:
    """The same events in batches of any size."""
    found, start = [], 0
    for size in draw(st.lists(st.integers(1, 20), max_size=8)):
        found.append(events[start : start + size])
        start += size
    return [batch for batch in (*found, events[start:]) if batch]


@st.composite
def tables(draw: st.DrawFn, jobs: Sequence[str] = JOBS) -> Table:
    """Rows that are there before: none, somebody else's without a position, or what the rule made of any events."""
    latest = (None,) * 11 + tuple(range(NOON, NOON + 11))
    kinds = one_of_all(("none", "foreign", "ours"), ATTEMPTS, latest)
    theirs = {job_id: (kind, foreign(*what)) for job_id in jobs for kind, *what in [draw(kinds)] if kind != "none"}
    rows = {job_id: row for job_id, (_, row) in theirs.items()}
    ours = [job_id for job_id, (kind, _) in theirs.items() if kind == "ours"]
    return one_by_one(rows, draw(deliveries(ours))) if ours else rows


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Any of the above together; every fourth event or so can never be written in some of them."""
    events = draw(deliveries())
    bad: frozenset[tuple[str, int]] = frozenset()
    if draw(st.booleans()):
        positions = sorted({(item.log_id, item.offset) for item in events})
        bad = frozenset(draw(st.lists(st.sampled_from(positions), max_size=3)))
    return History(draw(tables()), draw(cuts(events)), bad)
