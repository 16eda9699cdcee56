"""Folding: a batch's events become statements that touch each row once, as PostgreSQL demands of an upsert.

The law: however a history is cut into batches, the table ends as if its events had been applied one by one.

Two neighbouring events of a job merge only if "first, then second" and "second alone" do the same to EVERY row that the
table could hold. This needs no knowledge of the row or of earlier batches, it holds for chains of merges as well, and
the row that is written is one event as it came. Events that do not merge go into the next statement, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import attrgetter, eq
from typing import Final, NamedTuple

from jobstatus_consumer.records import Batch, Event

_NOTHING: Mapping[str, list[Event]] = {}
_job_of: Final[Callable[[Event], str]] = attrgetter("content.job_id")


class Statement(NamedTuple):
    """Rows for one SQL statement: one event a job, sorted by job, so that two writers cannot deadlock."""

    events: Sequence[Event]
    merged: Mapping[str, Sequence[Event]]
    """by job: the events that were merged into the job's event above, in log order; only jobs with such events"""
    parameters: Mapping[str, bytes] | None = None
    """the events as the store sends them, where they were encoded ahead"""

    def part(self, events: Sequence[Event]) -> Statement:
        """The statement with these of its events alone."""
        merged = self.merged
        return Statement(events, {event.job_id: merged[event.job_id] for event in events if event.job_id in merged})


@dataclass(frozen=True, slots=True)
class Encoded(Batch):
    """A batch with the statements that write it, in their order."""

    statements: Sequence[Statement]


def fold(events: Sequence[Event], *, every_event: bool = False) -> list[Statement]:
    """The statements that write `events`, which are in log order. The statements must be written in their order.

    With `every_event` no event is merged into another one.
    """
    # every event passes here, so nothing is done for each in Python; what repeats is a small part
    jobs = [*map(_job_of, events)]
    rows, ordered = dict(zip(jobs, events, strict=True)), sorted(jobs)
    if len(rows) == len(events):
        return [Statement([*map(rows.__getitem__, ordered)], _NOTHING)] if rows else []
    repeated = set(compress(ordered, map(eq, ordered, ordered[1:])))
    of_them = compress(events, map(repeated.__contains__, jobs))
    first, *later = _layers(_chains(of_them, _never if every_event else merges))
    rows.update(zip(map(_job_of, first.events), first.events, strict=True))
    return [Statement([*map(rows.__getitem__, dict.fromkeys(ordered))], first.merged), *later]


def merges(first: Event, second: Event) -> bool:
    """Whether `second` alone does the same to any row as `first` and then `second`.

    Two conditions. `second` overwrites everything that `first` may have set: they come from one log, the offset rises
    and the time does not fall. And every row that `first` changes is changed by `second` as well, which is so if
    - its attempt is higher: then neither lateness nor time matters, and a row that refuses it refuses `first` too; or
    - the attempts are equal and it is not late: then only attempt and offset are compared; or
    - both are late and without attempts, and its time is higher: a row that `first` is new enough for takes it too.
      (With attempts, `first` could raise the row's attempt, and `second` would no longer have a higher one.)
    """
    if first.log_id != second.log_id or first.offset >= second.offset or first.time > second.time:
        return False
    before, attempt = first.content.attempt, second.content.attempt
    if before is not None and attempt is not None and attempt > before:
        return True
    if attempt != before:
        return False
    if not second.late:
        return True
    return first.late and attempt is None and second.time > first.time


def _never(_first: Event, _second: Event) -> bool:
    return False


def _chains(events: Iterable[Event], merges: Callable[[Event, Event], bool]) -> dict[str, list[list[Event]]]:
    """The events of each job in order, split where two neighbours do not merge."""
    chains: dict[str, list[list[Event]]] = {}
    for event in events:
        job_id = event.content.job_id
        of_job = chains.get(job_id)
        if of_job is None:
            chains[job_id] = [[event]]
        elif merges(of_job[-1][-1], event):
            of_job[-1].append(event)
        else:
            of_job.append([event])
    return chains


def _layers(chains: Mapping[str, list[list[Event]]]) -> list[Statement]:
    """One statement of the first chain of every job, one of the second chains, and so on."""
    statements = []
    jobs = sorted(chains)
    depth = 0
    while jobs:
        layer = [chains[job_id][depth] for job_id in jobs]
        merged = {chain[-1].content.job_id: chain[:-1] for chain in layer if len(chain) > 1}
        statements.append(Statement([chain[-1] for chain in layer], merged))
        depth += 1
        jobs = [job_id for job_id in jobs if len(chains[job_id]) > depth]
    return statements
