"""Offsets reset: the group goes on somewhere else, and the table's progress with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from jobstatus_consumer.kafka import RangeReader, refuse_active
from jobstatus_consumer.operations.actions.plan import ActionPlan, Matched, Means
from jobstatus_consumer.operations.offsets import Move, move_group, move_of, offsets_at, partition_states
from jobstatus_consumer.store import Table

NAME: Final = "offsets reset"


@dataclass(slots=True)
class OffsetsReset:
    """The group's next offsets at `where`. The group must have no members."""

    means: Means
    where: str
    _moves: list[Move] = field(default_factory=list)

    def plan(self) -> ActionPlan:
        """Find out from where to where each partition moves; the place is fixed to offsets."""
        settings, topics = self.means.settings, self.means.topics()
        refuse_active(settings, topics)
        with RangeReader(settings, topics) as reader, Table(settings.database, settings.table) as table:
            wanted = offsets_at(reader, self.where)
            places = {item.log.partition: item for item in partition_states(settings, topics, reader, table.progress())}
        self._moves = [move_of(places[number], offset) for number, offset in wanted.items()]
        matched = Matched()
        for move in self._moves:
            was = "-" if move.before is None else move.before
            matched.add(f"partition {move.log.partition}: {was} -> {move.after}", move.log.id)
        request = {"to": ",".join(f"{number}:{offset}" for number, offset in sorted(wanted.items()))}
        facts = {"moves": [move.as_dict() for move in self._moves], "group": settings.group_id}
        return matched.planned(NAME, request, "partition", facts)

    def apply(self) -> Mapping[str, Any]:
        """Move them, if the group still has no members."""
        topics = self.means.topics()
        refuse_active(self.means.settings, topics)
        with Table(self.means.settings.database, self.means.settings.table) as table:
            move_group(self.means.settings, topics, table, self._moves)
        return {"moved": len(self._moves)}
