"""The privileges of each role on our tables: what `check` looks for, and what `jobstatus grants` prints."""

from __future__ import annotations

from typing import Final, NamedTuple

from jobstatus_consumer.store.layout import managed_tables
from jobstatus_consumer.store.names import TableName

Privileges = tuple[str, ...]

READS: Final = (("SELECT",),) * 4
WRITES: Final = (*(("SELECT", "INSERT", "UPDATE"),) * 2, ("SELECT",), ("SELECT", "INSERT", "UPDATE", "DELETE"))
PURGES: Final = (
    ("SELECT", "UPDATE", "DELETE"),
    ("SELECT", "UPDATE"),
    ("SELECT", "INSERT", "UPDATE", "DELETE"),
    ("SELECT", "DELETE"),
)
"""A purge locks rows and the progress table, and either lock needs UPDATE.

`READS`, `WRITES` and `PURGES` are privileges on each of `managed_tables`, the table of waiting jobs last."""
NOTES: Final = ("SELECT", "INSERT", "UPDATE")
"""On the audit log, for a command that changes something."""
_ORDER: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
_NOTHING: Final[tuple[Privileges, ...]] = ((),) * 4


class Role(NamedTuple):
    """What one kind of database user needs. `tables` is in the order of `managed_tables`, the waiting jobs last."""

    purpose: str
    tables: tuple[Privileges, ...]
    audit: Privileges = ()
    makes_tables: bool = False
    """whether it needs CREATE on the schema"""
    writes_target: bool = False
    reads_target: bool = False

    def on(self, place: TableName, *, with_waiting: bool) -> dict[TableName, Privileges]:
        """By table, the privileges on our tables; tables without any are left out."""
        names = [name for name, _ in managed_tables(place, with_waiting=with_waiting)]
        found = dict(zip(names, self.tables, strict=False)) | {place.audit: self.audit}
        return {name: privileges for name, privileges in found.items() if privileges}


def _both(*needs: tuple[Privileges, ...]) -> tuple[Privileges, ...]:
    columns = zip(*needs, strict=True)
    return tuple(tuple(name for name in _ORDER if any(name in need for need in column)) for column in columns)


ROLES: Final[dict[str, Role]] = {
    "migrate": Role("makes the tables, and owns them", _NOTHING, makes_tables=True),
    "consumer": Role("writes the tables", WRITES, writes_target=True),
    "operator": Role("replays, redrives, repairs and purges", _both(WRITES, PURGES), NOTES, writes_target=True),
    "rebuild": Role("makes a new table with replay --into", READS, NOTES, makes_tables=True),
    "verify": Role("compares, explains and counts rows, and changes nothing", READS, reads_target=True),
    "console": Role("shows pages, and changes nothing", READS, ("SELECT",), reads_target=True),
    "reader": Role("reads states, and waits for them", (("SELECT",), (), (), ())),
}
"""By name. A console that may change something, and `target sync`, need the role `operator`."""
