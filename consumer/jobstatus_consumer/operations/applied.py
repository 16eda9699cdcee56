"""What the events of one job make of its row, where they are in one log or in several.

The order between events of two logs (two partitions) cannot be read again, so each log is followed alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from jobstatus_consumer.core import RowState, advance, decide
from jobstatus_consumer.records import Event
from jobstatus_consumer.store import Row


class Applied(NamedTuple):
    """The state that the rule makes, and the last event that it applied."""

    state: RowState
    event: Event

    def row(self, log_id: str, offset: int) -> Row:
        """The row that shows the event, at this position."""
        state, event = self
        attempt = state.attempt if event.attempt is None else event.attempt
        latest = max(event.time, state.latest or 0)
        return Row.made((attempt, latest, log_id, offset), event.content)


@dataclass(slots=True)
class AppliedByLog:
    """The events of one job so far, by log. The value and the headers of a record are not kept."""

    by_log: dict[str, Applied] = field(default_factory=dict)

    def take(self, event: Event) -> Applied:
        """Apply one more event, and return what its log makes of the row; the events of each log come in order."""
        event = event._replace(raw=event.raw._replace(value=None, headers=()))
        before = self.by_log.get(event.log_id)
        if before is None:
            applied = Applied(advance(None, event), event)
        else:
            counts = decide(before.state, event) == "applied"
            applied = Applied(advance(before.state, event), event if counts else before.event)
        self.by_log[event.log_id] = applied
        return applied

    def all_applied(self) -> Applied | None:
        """What all events make: one log's after another's, in the order in which their last events were appended."""
        found: Applied | None = None
        for state, last in sorted(self.by_log.values(), key=lambda item: item.event.raw.timestamp):
            whole = last._replace(content=last.content._replace(attempt=state.attempt), time=state.latest or 0)
            before = None if found is None else found.state
            shown = last if found is None or decide(before, whole) == "applied" else found.event
            found = Applied(advance(before, whole), shown)
        return found
