"""Jobs that have been in their status for longer than its deadline, and estimates. Nothing here writes anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from psycopg.rows import TupleRow

from jobstatus_consumer.store.connection import Limits, open_connection
from jobstatus_consumer.store.json_params import document
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.session import Opener, Session

LIMITS: Final = Limits(statement=60.0)
"""Without an index, a question reads the whole table."""


class OverdueJob(NamedTuple):
    """One job; `since` is the time of the event that its row shows, in seconds since 1970-01-01 UTC."""

    job_id: str
    status: str
    attempt: int | None
    worker_id: str | None
    message: str | None
    since: float


class WatchedTable(Session):
    """The managed table, asked what has to be watched. Each method connects if there is no connection, and may block.

    `deadlines` are in seconds by status; `now` is in seconds since 1970-01-01 UTC.
    """

    def __init__(self, url: str, table: str, *, opener: Opener = open_connection, limits: Limits = LIMITS) -> None:
        super().__init__(url, limits, opener=opener)
        self._name = self._place = TableName.parse(table)

    def prepare(self) -> None:
        """Find the table on a new connection."""
        self._place = self.located(self._name)

    def jobs(self, deadlines: Mapping[str, int], now: float, *, limit: int, letters: int) -> list[OverdueJob]:
        """The overdue jobs, the oldest first, `limit` at most; of each message so many `letters`."""
        return [OverdueJob(*row) for row in self._do("overdue", deadlines, now, rows=limit, letters=letters)]

    def overdue(self, deadlines: Mapping[str, int], now: float) -> dict[str, int]:
        """By status of `deadlines`: how many jobs are overdue."""
        return dict(self._do("overdue_by_status", deadlines, now))

    def estimated_by_status(self) -> dict[str, float]:
        """By status: about how many rows have it, by the server's own statistics, which cost no look at the table.

        Empty before the first ANALYZE. A rare status may be missing.
        """
        if not self.connected:
            self.connect()
        parameters = {"table": self._place.identifier.as_string(None)}
        return dict(self.execute(block("stuck.sql", "estimated_by_status", self._place), parameters))

    def _do(self, name: str, deadlines: Mapping[str, int], now: float, **others: Any) -> list[TupleRow]:
        if not self.connected:
            self.connect()
        limits = [{"s": status, "b": int((now - seconds) * 1e6)} for status, seconds in deadlines.items()]
        return self.execute(block("stuck.sql", name, self._place), {"deadlines": document(limits), **others})
