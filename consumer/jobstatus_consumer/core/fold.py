"""Several events of one job become the fewest rows that keep the law: one statement may touch a row once.

The law: however a history is cut into batches, the table ends as if its events had been applied one by one.

Two neighbours merge only where "first, then second" and "second alone" are the same function of EVERY row that the
table could hold. So nothing has to be known about the row or about the batches before, chains of merges need no
further thought, and the row that is written is an event as it came, with nothing carried over from others.
What cannot merge waits for the next statement, in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jobstatus_consumer.records import Event

_NOTHING: Mapping[str, list[Event]] = {}


class Statement(NamedTuple):
    """Rows that go to the table at once: one event a job, sorted by job, so that two writers cannot deadlock."""

    events: Sequence[Event]
    merged: Mapping[str, Sequence[Event]]
    """by job: the events, in log order, that the job's event above stands for; only jobs that have some"""


def fold(events: Sequence[Event]) -> list[Statement]:
    """The statements that write these events (given in log order), in the order in which they must be written."""
    # every event passes here: two plain attributes are quicker than the property
    last = {event.content.job_id: event for event in events}
    if len(last) == len(events):
        return [Statement([last[job_id] for job_id in sorted(last)], _NOTHING)] if last else []
    return _layers(_chains(events))


def merges(first: Event, second: Event) -> bool:
    """Whether `second` alone does to any row what `first` and then `second` do.

    `first` must not have moved the row beyond what `second` overwrites (same log, rising offset, time not falling),
    and `second` must be applied wherever `first` was. It is, if
    - its attempt is higher: that beats lateness and the time, and a row that refuses it refused `first` as well; or
    - the attempts are the same and it is not late: only its offset and its attempt are asked then; or
    - both are late, without attempts, and it is newer: where `first` was new enough, `second` is.
      (With attempts, `first` might raise the row's attempt and so turn `second` from "higher" to merely "late".)
    """
    if first.log_id != second.log_id or first.offset >= second.offset or first.time > second.time:
        return False
    before, attempt = first.attempt, second.attempt
    if before is not None and attempt is not None and attempt > before:
        return True
    if attempt != before:
        return False
    if not second.late:
        return True
    return first.late and attempt is None and second.time > first.time


def _chains(events: Sequence[Event]) -> dict[str, list[list[Event]]]:
    """For each job its events in order, cut where two neighbours do not merge."""
    chains: dict[str, list[list[Event]]] = {}
    for event in events:
        of_job = chains.get(event.job_id)
        if of_job is None:
            chains[event.job_id] = [[event]]
        elif merges(of_job[-1][-1], event):
            of_job[-1].append(event)
        else:
            of_job.append([event])
    return chains


def _layers(chains: Mapping[str, list[list[Event]]]) -> list[Statement]:
    """The first chain of every job, then the second of those that have one, and so on."""
    statements = []
    jobs = sorted(chains)
    depth = 0
    while jobs:
        layer = [chains[job_id][depth] for job_id in jobs]
        merged = {chain[-1].job_id: chain[:-1] for chain in layer if len(chain) > 1}
        statements.append(Statement([chain[-1] for chain in layer], merged))
        depth += 1
        jobs = [job_id for job_id in jobs if len(chains[job_id]) > depth]
    return statements
