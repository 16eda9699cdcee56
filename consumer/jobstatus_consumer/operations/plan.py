"""The dry run: what a replay would change in the rows as they are now, by the rule. Nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from jobstatus_consumer.core import RowState, advance, decide
from jobstatus_consumer.kafka import RangeReader
from jobstatus_consumer.operations.scope import ReadCounts, Scope, events
from jobstatus_consumer.operations.shards import BYTES, Pass, passes
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import PurgedJob

SHOWN: Final = 10


class Rows(Protocol):
    """Reads what the rule compares of rows; `Table` does."""

    def states(self, jobs: Iterable[str]) -> Mapping[str, RowState]:
        """The states of those of these jobs that have a row."""

    def purged(self, jobs: Iterable[str]) -> Mapping[str, PurgedJob]:
        """What a purge has left of those of these jobs that have no row."""


class NoRows:
    """A table that does not exist yet."""

    def states(self, jobs: Iterable[str]) -> Mapping[str, RowState]:
        """No job has a row."""
        return {}

    def purged(self, jobs: Iterable[str]) -> Mapping[str, PurgedJob]:
        """Nothing was purged."""
        return {}


class PlannedChange(NamedTuple):
    """One job whose row would change: its position before and after."""

    job_id: str
    how: str
    before: str
    after: str
    status: str
    """The status that the row would have."""


@dataclass(slots=True)
class ReplayPlan:
    """What a replay would change. `stale` counts, by reason, the events that change nothing."""

    records: int = 0
    events: int = 0
    undecodable: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    new_rows: int = 0
    changed_rows: int = 0
    skipped_jobs: int = 0
    """Without a row, with `--existing-only`."""
    stale: Counter[str] = field(default_factory=Counter)
    examples: list[PlannedChange] = field(default_factory=list)
    unknown_jobs: list[str] = field(default_factory=list)
    complete: bool = True

    @property
    def rows(self) -> int:
        """The number of rows that would change."""
        return self.new_rows + self.changed_rows

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        names = ("records", "events", "jobs", "new_rows", "changed_rows", "skipped_jobs", "unknown_jobs", "complete")
        return {
            **{name: getattr(self, name) for name in names},
            "rows_that_would_change": self.rows,
            "stale": dict(+self.stale),
            "undecodable": dict(self.undecodable),
            "examples": [item._asdict() for item in self.examples],
        }


class _Job:
    """One job in a pass: its row as the events so far would leave it, and what they did."""

    __slots__ = ("again", "before", "last", "stale", "state")

    def __init__(self, before: RowState | None, purged: PurgedJob | None) -> None:
        self.before = before
        self.state = purged.state if purged is not None else before
        self.last: str | None = None
        self.again = 0
        self.stale: Counter[str] | None = None

    def take(self, event: Event) -> None:
        verdict = decide(self.state, event)
        if verdict == "applied":
            self.state = advance(self.state, event)
            self.last = event.status
        elif verdict == "redelivered":
            self.again += 1
        else:
            self.stale = self.stale or Counter()
            self.stale[verdict] += 1


_Pass = Pass[_Job]


def make_plan(
    reader: RangeReader,
    scope: Scope,
    table: Rows,
    *,
    existing_only: bool = False,
    stop: Callable[[], bool] = lambda: False,
    observe: Callable[[int], None] = lambda records: None,
    limit: int = BYTES,
    each: Callable[[PlannedChange], object] | None = None,
) -> ReplayPlan:
    """Read the scope and return what a replay of it would change. Blocks until it is read.

    The log is read more than once if the jobs do not fit into `limit` bytes. `each` is called with every row that would
    change.
    """
    plan = ReplayPlan()
    for found in passes(_Pass, limit):
        counts = ReadCounts()
        for chunk in events(reader, scope, counts, stop, None if found.first else found.has):
            _take(chunk, found, table)
            found.make_room()
            if found.first:
                observe(counts.records)
        _conclude(plan, found, counts, scope, existing_only=existing_only, each=each)
        if stop():
            plan.complete = False
            return plan
    return plan


def _take(chunk: Sequence[Event], found: _Pass, table: Rows) -> None:
    if found.modulus > 1:
        chunk = [event for event in chunk if found.has(event.raw.key)]
    # one by one: a difference to the known jobs walks through all of them
    new = {event.job_id for event in chunk if event.job_id not in found.jobs}
    if new:
        states, purged = table.states(new), table.purged(new)
        found.jobs.update((job_id, _Job(states.get(job_id), purged.get(job_id))) for job_id in new)
    for event in chunk:
        found.jobs[event.job_id].take(event)


def _conclude(
    plan: ReplayPlan,
    found: _Pass,
    counts: ReadCounts,
    scope: Scope,
    *,
    existing_only: bool,
    each: Callable[[PlannedChange], object] | None = None,
) -> None:
    if found.first:
        plan.records, plan.events = counts.records, counts.events
        plan.undecodable = counts.undecodable
        plan.unknown_jobs = sorted(scope.wanted.jobs - counts.seen_jobs)
    plan.jobs += len(found.jobs)
    for job_id, job in found.jobs.items():
        plan.stale["redelivered"] += job.again
        if job.stale:
            plan.stale.update(job.stale)
        if job.last is None:
            continue
        if job.before is None and existing_only:
            plan.skipped_jobs += 1
            continue
        plan.new_rows += job.before is None
        plan.changed_rows += job.before is not None
        if len(plan.examples) < SHOWN:
            plan.examples.append(_change(job_id, job))
        if each is not None:
            each(_change(job_id, job))


def _change(job_id: str, job: _Job) -> PlannedChange:
    how = "new row" if job.before is None else "changed"
    return PlannedChange(job_id, how, _position(job.before), _position(job.state), job.last or "")


def _position(state: RowState | None) -> str:
    if state is None:
        return "-"
    return f"{state.log_id}@{state.log_offset}" if state.has_position else "no position"
