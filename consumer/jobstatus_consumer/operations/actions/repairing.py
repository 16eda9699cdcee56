"""Repair: rows that differ from the log are set to what the log says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from jobstatus_consumer.errors import JobStatusError, StartError
from jobstatus_consumer.kafka import RangeReader
from jobstatus_consumer.operations.actions.plan import ActionPlan, Matched, Means
from jobstatus_consumer.operations.actions.saying import say
from jobstatus_consumer.operations.findings import VerifyReport
from jobstatus_consumer.operations.repair import RepairContext, RepairResult, repair
from jobstatus_consumer.operations.replay import LiveTable, retry_database
from jobstatus_consumer.operations.scope import quiet
from jobstatus_consumer.operations.suspects import Criteria
from jobstatus_consumer.operations.verify import is_exact, verify
from jobstatus_consumer.operations.verify_scope import latest_time, verify_scope
from jobstatus_consumer.store import RowRepair, Table, store_of

NAME: Final = "repair"


@dataclass(slots=True)
class Repair:
    """The rows of some jobs, or of all, that differ from what the group has written. `plan` keeps the findings."""

    means: Means
    request: Mapping[str, str]
    jobs: frozenset[str]
    _report: VerifyReport = field(default_factory=VerifyReport)

    def plan(self) -> ActionPlan:
        """Compare the table with the log."""
        settings, topics = self.means.settings, self.means.topics()
        with RangeReader(settings, topics) as reader, Table(settings.database, settings.table) as table:
            scope = verify_scope(settings, topics, reader, table, jobs=self.jobs)
            criteria = Criteria(is_exact(scope, table.progress()), limit=latest_time(topics, reader.topic))
            self._report = report = verify(reader, scope, table, criteria, self.means.stop.is_set, progress=quiet)
        if not report.complete:
            raise JobStatusError("stopped; nothing was changed")
        if report.more.total():
            raise StartError(f"{report.total:,} rows differ, too many for a plan: jobstatus verify --repair")
        matched = Matched()
        for job_id, found in sorted(report.findings.items()):
            matched.add(f"{job_id!r}: {found.kind.replace('_', ' ')}, see the event {found.event}", *found[2:6])
        return matched.planned(NAME, self.request, "row", report.kinds())

    def apply(self) -> Mapping[str, Any]:
        """Set the rows that the plan names, those that have not moved on."""
        settings, topics, done = self.means.settings, self.means.topics(), RepairResult()
        store = store_of(settings)
        try:
            with RangeReader(settings, topics) as reader, Table(settings.database, settings.table) as table:
                scope = verify_scope(settings, topics, reader, table)
                sink = LiveTable(store, None, self.means.stop, settings.wait_for_database, say)
                repair(reader, scope, self._report.findings, self._context(table, sink), done)
        finally:
            store.close()
        if not done.complete:
            raise JobStatusError(f"stopped: {done.summary()}")
        return done.as_dict()

    def _context(self, table: Table, sink: LiveTable) -> RepairContext:
        stop, patience = self.means.stop, self.means.settings.wait_for_database

        def set_rows(rows: Sequence[RowRepair]) -> set[str]:
            return retry_database(lambda: table.repair_rows(rows), stop, patience, say)

        return RepairContext(set_rows, sink, stop.is_set, exact=self._report.exact)
