"""Replay: events of a stretch of the log are written again, for the jobs whose rows they change."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from jobstatus_consumer.core import decoder_of
from jobstatus_consumer.errors import JobStatusError, SettingsError, StartError
from jobstatus_consumer.kafka import RangeReader, Topics, commits
from jobstatus_consumer.operations.actions.plan import ActionPlan, Matched, Means
from jobstatus_consumer.operations.actions.saying import say
from jobstatus_consumer.operations.plan import PlannedChange, ReplayPlan, make_plan
from jobstatus_consumer.operations.ranges import as_words
from jobstatus_consumer.operations.replay import LiveTable, Pace, ReplayResult, run
from jobstatus_consumer.operations.scope import EventFilter, Scope, current_logs, end_if_stopped, find
from jobstatus_consumer.store import Table, store_of
from jobstatus_consumer.words import counted

NAME: Final = "replay"
MOST_OFFSETS: Final = 200_000
"""Offsets that a plan reads: a few seconds of work, so that a request has its answer in time."""
SHOWN_JOBS: Final = 3


@dataclass(slots=True)
class Replay:
    """The wanted events between `first` and `last`. `plan` keeps what it has read and the jobs that would change."""

    means: Means
    request: Mapping[str, str]
    first: str
    last: str
    wanted: EventFilter
    existing_only: bool
    _scope: Scope = field(default_factory=lambda: Scope("", (), {}))
    _jobs: set[str] = field(default_factory=set)

    def plan(self) -> ActionPlan:
        """Find out by the rule which rows the events would change; the range is fixed to offsets."""
        matched, self._jobs = Matched(), set()

        def note(change: PlannedChange) -> None:
            self._jobs.add(change.job_id)
            shown = f"{change.job_id!r}: {change.how}, {change.before} -> {change.after}, {change.status}"
            matched.add(shown)

        settings, topics = self.means.settings, self.means.topics()
        with RangeReader(settings, topics) as reader, Table(settings.database, settings.table) as table:
            self._scope = scope = self._found(reader, topics, table)
            stop = self.means.stop.is_set
            found = make_plan(reader, scope, table, existing_only=self.existing_only, stop=stop, each=note)
        end_if_stopped(stop)
        self._refuse_unknown(found.unknown_jobs)
        return matched.planned(NAME, {**self.request, **as_words(scope.ranges)}, "row", _facts(found, scope))

    def apply(self) -> Mapping[str, Any]:
        """Write the events of the jobs that the plan names, and of no other job."""
        settings, topics, result = self.means.settings, self.means.topics(), ReplayResult()
        scope = replace(self._scope, wanted=replace(self.wanted, jobs=frozenset(self._jobs)))
        store = store_of(settings)
        try:
            with RangeReader(settings, topics) as reader, Table(settings.database, settings.table) as table:
                present = table if self.existing_only else None
                sink = LiveTable(store, present, self.means.stop, settings.wait_for_database, say)
                run(reader, scope, sink, self.means.stop, pace=Pace(0.0, self.means.stop), result=result)
        finally:
            store.close()
        if not result.complete:
            raise JobStatusError(f"stopped; {counted(result.applied, 'event')} applied. Plan it again for the rest")
        return result.as_dict()

    def _found(self, reader: RangeReader, topics: Topics, table: Table) -> Scope:
        """The stretch to read; raises `StartError` with the command to type if it is too long for a request."""
        settings = self.means.settings
        found = find(reader, self.first, self.last)
        logs = current_logs(reader, commits(settings, topics), table.progress())
        scope = Scope(reader.topic, found.ranges, logs, self.wanted, decoder_of(settings), found.remarks)
        if scope.offsets > MOST_OFFSETS:
            raise StartError(
                f"the stretch has {scope.offsets:,} offsets, and a plan here reads {MOST_OFFSETS:,} at most; nothing "
                f"was changed. Choose a shorter one, or type: {self.command}"
            )
        return scope

    @property
    def command(self) -> str:
        """What to type for the same; of many job ids the first."""
        words = ["jobstatus", "replay", "--from", self.first, "--to", self.last]
        jobs = sorted(self.wanted.jobs)
        for flag, values in (
            ("--job-id", jobs[:SHOWN_JOBS]),
            ("--status", sorted(self.wanted.statuses)),
            ("--worker-id", sorted(self.wanted.workers)),
        ):
            words += [word for value in values for word in (flag, value)]
        if self.existing_only:
            words.append("--existing-only")
        rest = len(jobs) - SHOWN_JOBS
        return shlex.join(words) + (f" (and --job-id for {counted(rest, 'more job')})" if rest > 0 else "")

    def _refuse_unknown(self, jobs: list[str]) -> None:
        if jobs:
            shown = ", ".join(map(repr, jobs[:SHOWN_JOBS]))
            more = f" and {len(jobs) - SHOWN_JOBS:,} more" if len(jobs) > SHOWN_JOBS else ""
            raise SettingsError(f"job_id: the stretch has no such event of {shown}{more}; nothing was changed")


def _facts(found: ReplayPlan, scope: Scope) -> dict[str, Any]:
    return {
        "records": found.records,
        "events": found.events,
        "jobs": found.jobs,
        "new_rows": found.new_rows,
        "changed_rows": found.changed_rows,
        "skipped_jobs": found.skipped_jobs,
        "ranges": {str(item.partition): f"{item.start}-{item.end}" for item in scope.ranges},
        "change_nothing": dict(+found.stale),
        "undecodable": dict(found.undecodable),
        "remarks": list(scope.remarks),
    }
