"""What `status` reads of the database: rows by status, how far the table is, and which sessions block a write."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from psycopg.rows import TupleRow

from jobstatus_consumer.errors import DatabaseAwayError, StartError
from jobstatus_consumer.store.admin import REMEDY, closed_schema, lacking
from jobstatus_consumer.store.blocking import Blocker, blockers
from jobstatus_consumer.store.connection import Limits, open_connection
from jobstatus_consumer.store.groups import others_text, sessions_of_others
from jobstatus_consumer.store.layout import managed_tables
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.privileges import READS
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.session import Opener, Session
from jobstatus_consumer.store.waiting import WaitingReason, waiting_reasons

LIMITS: Final = Limits(connect=4.0, statement=30.0, lock=2.0)


class LogProgress(NamedTuple):
    """The next offset that the table needs of a log, and when it got there (seconds since 1970-01-01 UTC)."""

    next_offset: int
    written_at: float


class TableOverview(NamedTuple):
    """The table now. `rows` is None if they could not be counted; `trouble` says why.

    `waiting` says why jobs wait for their row in a target; None if there is no table of waiting jobs. `clock_ahead` is
    by how many seconds the server's clock is ahead of ours at least; 0 where the answer took longer than that.
    `other_groups` says which other groups write the table now, where that was asked.
    """

    progress: Mapping[str, LogProgress]
    blocked: Sequence[Blocker]
    rows: Mapping[str, int] | None
    trouble: str = ""
    waiting: Sequence[WaitingReason] | None = None
    clock_ahead: float = 0.0
    other_groups: str = ""


class OverviewTable(Session):
    """The managed table as `status` and the console look at it; the connection stays open between two looks.

    Each method connects if there is no connection, and may block for the answers.
    """

    def __init__(self, url: str, table: str, *, opener: Opener = open_connection, limits: Limits = LIMITS) -> None:
        super().__init__(url, limits, opener=opener)
        self._name = self._place = TableName.parse(table)

    def prepare(self) -> None:
        """Find the table on a new connection; raises `StartError` if it or its progress table is missing."""
        self._place = self.located(self._name)
        with self.use() as connection:
            if closed := closed_schema(connection, self._place):
                raise StartError(f"{closed.what} ({closed.remedy})")
        for part in (self._place, self._place.progress):
            if not self._ask("admin.sql", "kind", part):
                raise StartError(f"there is no table {part.within(self._name.schema)}; make it: jobstatus migrate")
        self._refuse_unreadable()

    def _refuse_unreadable(self) -> None:
        with self.use() as connection:
            for (part, _), needed in zip(managed_tables(self._place), READS, strict=False):
                if missing := lacking(connection, part, part.within(self._name.schema), needed):
                    raise StartError(f"{missing.what} ({missing.remedy})")

    def look(self) -> TableOverview:
        """The progress, what blocks a write and which jobs wait; the rows are not counted."""
        self._connect()
        found = self._ask("overview.sql", "progress", self._place)
        progress = {log_id: LogProgress(*rest) for log_id, *rest in found}
        with self.use() as connection:
            blocked = blockers(connection, self._place)
        waiting = waiting_reasons(self, self._place)
        return TableOverview(progress, blocked, None, waiting=waiting, clock_ahead=self._clock_ahead())

    def _clock_ahead(self) -> float:
        asked = time.time()
        ((found,),) = self._ask("overview.sql", "clock", self._place)
        clock = float(found)
        return max(0.0, clock - time.time()) + min(0.0, clock - asked)

    def rows_by_status(self) -> dict[str, int]:
        """Count the rows, which reads the whole table."""
        self._connect()
        return dict(self._ask("admin.sql", "rows_by_status", self._place))

    def estimated_rows(self) -> int | None:
        """The server's own estimate of the number of rows, which costs nothing; None if it has none yet."""
        self._connect()
        ((rows,),) = self._ask("overview.sql", "estimated_rows", self._place)
        return None if rows is None or rows < 0 else int(rows)

    def other_groups(self, group: str) -> str:
        """What to say of the groups beside this one that write the table now; empty if there are none."""
        self._connect()
        return others_text(self._name, sessions_of_others(self, self._place, group))

    def _connect(self) -> None:
        if self.connected:
            return
        try:
            self.connect()
        except DatabaseAwayError as error:
            raise DatabaseAwayError(f"no connection to the database: {error}. {REMEDY}") from None

    def _ask(self, file: str, query: str, name: TableName) -> list[TupleRow]:
        return self.execute(block(file, query, name), {"table": name.identifier.as_string(None)})


def overview(url: str, table: str, *, group: str = "", count: bool = True) -> TableOverview:
    """Read what `status` shows of the table; without `count` the rows are not counted. Blocks for the answers.

    With a `group`, the other groups that write the table are named.
    Raises `StartError` if a table is missing, and StoreError's kinds.
    """
    with OverviewTable(url, table) as found:
        seen = found.look()
        if group:
            seen = seen._replace(other_groups=found.other_groups(group))
        if not count:
            return seen
        try:
            return seen._replace(rows=found.rows_by_status())
        except DatabaseAwayError as error:
            # another session may hold a lock on the table: what is known without its rows is shown all the same
            return seen._replace(trouble=f"the rows could not be counted: {error}")
