"""Redrive: the open dead letters that are selected are applied again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from jobstatus_consumer.core import decoder_of
from jobstatus_consumer.kafka import RangeReader
from jobstatus_consumer.operations.actions.plan import ActionPlan, Matched, Means
from jobstatus_consumer.operations.actions.saying import say
from jobstatus_consumer.operations.originals import Originals
from jobstatus_consumer.operations.redrive import JudgedLetter, LetterSelection, RedriveResult, redrive
from jobstatus_consumer.operations.replay import LiveTable, Sink
from jobstatus_consumer.operations.scope import end_if_stopped
from jobstatus_consumer.records import Rejected
from jobstatus_consumer.store import Table, store_of

NAME: Final = "redrive"


@dataclass(slots=True)
class Redrive:
    """The letters of a selection. `plan` keeps the positions of those that are open."""

    means: Means
    request: Mapping[str, str]
    selection: LetterSelection
    _open: set[tuple[int, int]] = field(default_factory=set)

    def plan(self) -> ActionPlan:
        """Judge every selected letter by the table as it is now."""
        matched, self._open = Matched(), set()

        def note(item: JudgedLetter) -> None:
            letter, found = item.letter, item.found
            if not isinstance(found, Rejected):
                original = letter.original
                self._open.add((original.partition, original.offset))
                shown = f"{letter.position} of {letter.job_id!r}: {letter.stage}, {letter.reason}"
                matched.add(shown, *letter.identity, letter.group, letter.table, found.content.event_id)

        found = self._run(self.selection, None, note)
        facts = {"selected": found.selected, "settled": found.settled, "still_no_events": dict(found.undecodable)}
        return matched.planned(NAME, self.request, "event", {**facts, "elsewhere": found.elsewhere})

    def apply(self) -> Mapping[str, Any]:
        """Apply the letters that the plan found open."""
        store = store_of(self.means.settings)
        try:
            sink = LiveTable(store, None, self.means.stop, self.means.settings.wait_for_database, say)
            done = self._run(replace(self.selection, positions=frozenset(self._open)), sink)
        finally:
            store.close()
        return done.as_dict()

    def _run(self, selection: LetterSelection, sink: Sink | None, each: Any = lambda item: None) -> RedriveResult:
        settings, stop = self.means.settings, self.means.stop.is_set
        with (
            Table(settings.database, settings.table) as table,
            RangeReader(settings, self.means.topics(), topic=settings.dead_letter_topic) as reader,
            Originals(lambda: RangeReader(settings, self.means.topics()), stop) as originals,
        ):
            done = redrive(reader, table, selection, decoder_of(settings), stop, sink, originals.whole, each)
        end_if_stopped(stop)
        return done
