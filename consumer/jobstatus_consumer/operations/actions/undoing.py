"""Undo: rows that show bad events of a range are set back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from jobstatus_consumer.core import decoder_of
from jobstatus_consumer.errors import JobStatusError
from jobstatus_consumer.kafka import RangeReader, commits
from jobstatus_consumer.operations.actions.plan import ActionPlan, Matched, Means
from jobstatus_consumer.operations.ranges import OffsetRange, as_words
from jobstatus_consumer.operations.scope import EventFilter, Scope, current_logs, find
from jobstatus_consumer.operations.undo import UndoResult, undo
from jobstatus_consumer.store import RowRepair, Table

NAME: Final = "undo"


@dataclass(slots=True)
class Undo:
    """The rows that show one of the wanted events between `first` and `last`."""

    means: Means
    request: Mapping[str, str]
    first: str
    last: str
    wanted: EventFilter

    def plan(self) -> ActionPlan:
        """Read the log, and find the rows that show a bad event; the range is fixed to offsets."""
        matched = Matched()

        def note(row: RowRepair) -> None:
            shown = f"{row.job_id!r} from {row.was_log}@{row.was_offset} to {row.row.log_offset}, {row.row.status}"
            matched.add(shown, *row.row)

        found, ranges = self._run(dry_run=True, each=note)
        request = {**self.request, **as_words(ranges)}
        facts = {"bad_events": found.counts.events, "no_other_event": found.no_other_event, "jobs": found.jobs}
        return matched.planned(NAME, request, "row", facts)

    def apply(self) -> Mapping[str, Any]:
        """Set these rows back, those that have not moved on."""
        done, _ = self._run(dry_run=False)
        return done.as_dict()

    def _run(self, *, dry_run: bool, each: Any = lambda row: None) -> tuple[UndoResult, list[OffsetRange]]:
        settings, topics = self.means.settings, self.means.topics()
        with RangeReader(settings, topics) as reader, Table(settings.database, settings.table) as table:
            found = find(reader, self.first, self.last)
            logs = current_logs(reader, commits(settings, topics), table.progress())
            bad = Scope(reader.topic, found.ranges, logs, self.wanted, decoder_of(settings))
            whole = replace(bad, ranges=find(reader, "beginning", "now").ranges, wanted=EventFilter())
            done = undo(reader, bad, whole, table, self.means.stop.is_set, dry_run=dry_run, each=each)
        if not done.complete:
            raise JobStatusError(f"stopped; {done.set_rows:,} rows were set back. Plan it again for the rest")
        return done, list(found.ranges)
