"""Does the target show the states? And what does not is put into waiting, so that a consumer writes it.

The states are compared in pages, in the order of their jobs, beside live consumers. A state for which an expression of
the target file cannot be evaluated is found by halves and reported, and the others are compared.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from jobstatus_consumer.errors import BadRowError, JobStatusError, StopRequestedError
from jobstatus_consumer.operations.scope import Progress, end_if_stopped, quiet
from jobstatus_consumer.store import ComparedPage, TargetTable

PAGE: Final = 5_000
"""States in one statement."""
NAMED: Final = 100_000
"""Jobs that are named; those beyond are counted."""
PATIENCE: Final = 60.0
"""Seconds for which a sync waits for a consumer that settles nothing."""
LOOK_EVERY: Final = 1.0

TargetKind = Literal["different", "missing", "refused"]
"""The row does not show the state; a row that `insert` should have made is not there; an expression cannot be
evaluated for the state."""

# why a row that does not show its state is no difference
WAITING: Final = "waiting"
NOT_OURS: Final = "not_ours"
HELD: Final = "held_by_where"
NO_ROW: Final = "no_row"


class TargetDifference(NamedTuple):
    """One row of the target that does not show the state of its job; `columns` are those that differ."""

    kind: TargetKind
    columns: tuple[str, ...] = ()
    why: str = ""


@dataclass(slots=True)
class TargetReport:
    """What a comparison of the target found, in numbers of jobs."""

    table: str
    states: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    explained: Counter[str] = field(default_factory=Counter)
    findings: dict[str, TargetDifference] = field(default_factory=dict)
    """by job; the first `NAMED` of them"""
    parked: int = 0
    """jobs that wait from now on"""
    complete: bool = False

    @property
    def total(self) -> int:
        """How many jobs differ."""
        return self.kinds.total()

    def add(self, job_id: str, found: TargetDifference) -> None:
        """Note one difference."""
        self.kinds[found.kind] += 1
        if len(self.findings) < NAMED:
            self.findings[job_id] = found


def compare_target(
    table: TargetTable, stop: Callable[[], bool], *, jobs: Collection[str] = (), progress: Progress = quiet
) -> TargetReport:
    """Compare the target with the states, of `jobs` alone if any are given. Blocks until all are read.

    After a stop the report has what was found until then, and is not complete. Raises TargetError and StoreError's
    kinds.
    """
    return _walk(table, stop, jobs, progress, lambda differing: 0)


def sync_target(table: TargetTable, room: int, pause: Callable[[float], bool], progress: Progress) -> TargetReport:
    """Put the jobs whose rows differ into waiting, and return what was found. Blocks until all states are compared.

    While more than `room` jobs wait it waits for a consumer to settle them; `pause` waits for some seconds and returns
    whether a stop was requested. Raises JobStatusError if no consumer does, TargetError and StoreError's kinds.
    """

    def park(differing: Collection[str]) -> int:
        _await_room(table, room, pause)
        return table.park(differing)

    return _walk(table, lambda: pause(0.0), (), progress, park)


def _walk(
    table: TargetTable,
    stop: Callable[[], bool],
    jobs: Collection[str],
    progress: Progress,
    park: Callable[[Collection[str]], int],
) -> TargetReport:
    report = TargetReport(str(table.target.table))
    try:
        with progress("comparing", len(jobs) or table.about()) as observe:
            for differing in _differing(table, jobs, stop, report):
                if differing:
                    report.parked += park(differing)
                observe(report.states)
    except StopRequestedError:
        return report
    report.complete = True
    return report


def _note(page: ComparedPage, report: TargetReport, *, makes_rows: bool) -> list[str]:
    """Add a page to the report, and return the jobs that differ."""
    report.states += page.states
    for job_id, columns in page.differing:
        report.add(job_id, TargetDifference("different", columns))
    differing = [item.job_id for item in page.differing]
    if makes_rows:
        for job_id in page.rowless:
            report.add(job_id, TargetDifference("missing"))
        differing += page.rowless
    else:
        report.explained[NO_ROW] += len(page.rowless)
    report.explained += Counter({WAITING: page.waiting, NOT_OURS: page.not_ours, HELD: page.held})
    return differing


def _differing(
    table: TargetTable, jobs: Collection[str], stop: Callable[[], bool], report: TargetReport
) -> Iterator[list[str]]:
    """The jobs that differ, page by page. A state that cannot be evaluated is a page of its own."""
    after, size = "", PAGE
    while True:
        end_if_stopped(stop)
        try:
            page = table.compare(after, size, jobs)
        except BadRowError as error:
            if size > 1:
                size = (size + 1) // 2
                continue
            job_id = table.next_job(after, jobs) or after
            yield _note_refused(table, job_id, report, error)
            after = job_id
            continue
        yield _note(page, report, makes_rows=table.makes_rows)
        if page.states < size:
            return
        after, size = page.last, min(PAGE, 2 * size)


def _note_refused(table: TargetTable, job_id: str, report: TargetReport, error: BadRowError) -> list[str]:
    """Report a job whose state cannot be evaluated. It may wait if its key can, for only that may change."""
    report.states += 1
    report.add(job_id, TargetDifference("refused", why=str(error)))
    return [job_id] if table.has_key(job_id) else []


def _await_room(table: TargetTable, room: int, pause: Callable[[float], bool]) -> None:
    waiting = fewest = table.waiting()
    deadline = time.monotonic() + PATIENCE
    while waiting > room:
        if time.monotonic() > deadline:
            raise JobStatusError(
                f"{waiting:,} jobs wait already, and no consumer has settled one of them in {PATIENCE:g} s; the rest "
                "was not compared. Start a consumer, then run it again: jobstatus target sync"
            )
        if pause(LOOK_EVERY):
            raise StopRequestedError("stopped")
        waiting = table.waiting()
        if waiting < fewest:
            fewest, deadline = waiting, time.monotonic() + PATIENCE
