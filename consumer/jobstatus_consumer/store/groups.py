"""Which groups write a table now: two of them on one table are one deployment too many, and nobody would notice.

Behind a pooler in transaction mode a session has no lock of its own, so nothing is known there.
A session notes the table that it found when it connected: after another table was renamed in its place, it counts for
the old one until it connects again.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.session import Session


class GroupSession(NamedTuple):
    """The database session of a consumer. `address` is None where this role may not see it, or for a local socket."""

    pid: int
    application: str
    address: str | None

    def __str__(self) -> str:
        origin = f", from {self.address}" if self.address else ""
        return f"pid {self.pid} ({self.application or 'no application name'}{origin})"


def announce(session: Session, place: TableName, group: str) -> list[GroupSession]:
    """Note in the database that this session writes the table for this group, and return the sessions of others.

    May block for the answers; raises StoreError's kinds.
    """
    session.execute(block("groups.sql", "announce", place), {"table": _quoted(place), "group": _number(group)})
    return sessions_of_others(session, place, group)


def sessions_of_others(session: Session, place: TableName, group: str) -> list[GroupSession]:
    """The sessions that write the table for other groups. May block; raises StoreError's kinds."""
    given = {"table": _quoted(place), "group": _number(group)}
    return [GroupSession(*row) for row in session.execute(block("groups.sql", "others", place), given)]


def others_text(table: object, others: list[GroupSession]) -> str:
    """Why two groups on one table are wrong, and whose sessions they are; empty if there are none."""
    if not others:
        return ""
    return (
        f"consumers of another group write {table} too: {', '.join(map(str, others))}. "
        "Give each group a table of its own (JOBSTATUS_TABLE), or stop one of them"
    )


def _quoted(place: TableName) -> str:
    return place.identifier.as_string(None)


def _number(group: str) -> int:
    """The number of 32 bits, with a sign, that stands for the group."""
    number = zlib.crc32(group.encode())
    return number - 2**32 if number >= 2**31 else number
