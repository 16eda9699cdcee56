"""Removes finished rows of the managed table, and keeps of each what the rule compares: so it stays purged."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from psycopg import sql
from psycopg.rows import TupleRow

from jobstatus_consumer.errors import DeploymentError
from jobstatus_consumer.store import json_params
from jobstatus_consumer.store.problem import Problem
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.table import Table

PAGE: Final = 20_000
"""Purged jobs that are looked at in one statement."""
NEEDS_A_SESSION: Final = Problem(
    "purge keeps its list of finished jobs in its session, which a pooler in transaction mode takes away",
    "connect purge directly, with --database-url and --prepared-statements on",
)
GATE_WAIT: Final = b"SET LOCAL lock_timeout = '200ms'"
"""While a purge waits for the writes that are running, the next ones wait behind it: so it does not wait long."""


class Finished(NamedTuple):
    """Which rows are purged: those of these statuses whose job has no event as new as `limit` (microseconds)."""

    statuses: Collection[str]
    limit: int

    def parameters(self, **others: Any) -> dict[str, Any]:
        """The parameters of a block."""
        return {"statuses": json_params.texts(self.statuses), "limit": self.limit, **others}


class FinishedRows(NamedTuple):
    """The finished rows of one status; `oldest` in seconds since 1970-01-01 UTC."""

    status: str
    rows: int
    others: int
    """further rows without a position, which another program wrote"""
    oldest: float | None


class ForgottenPage(NamedTuple):
    """What was done with one page of purged jobs; `last` is the last job of the page."""

    looked_at: int
    forgotten: int
    last: str | None


class PurgeTable(Table):
    """The managed table for `purge`. As with `Table`, each method may block."""

    def prepare(self) -> None:
        """Find the tables on a new connection, and whether jobs wait for their row in a target."""
        if self._pooled:
            raise DeploymentError(f"{NEEDS_A_SESSION.what}; {NEEDS_A_SESSION.remedy}")
        super().prepare()
        self._listed = False
        waits = self.execute(
            block("admin.sql", "kind", self._place), {"table": self._place.waiting.identifier.as_string(None)}
        )
        unparked = block("purge.sql", "unparked", self._place) if waits else sql.SQL("")
        self._purge = block("purge.sql", "purge", self._place, parts={"unparked": unparked})

    def counts(self, finished: Finished) -> list[FinishedRows]:
        """What would be purged, by status; reads the whole table."""
        return [FinishedRows(*row) for row in self._do("counts", finished.parameters())]

    def digest(self, finished: Finished) -> str:
        """A text that is another one when other rows would be purged; reads the whole table."""
        ((text,),) = self._do("digest", finished.parameters())
        return str(text)

    def finished(self, finished: Finished) -> list[str]:
        """The next finished jobs, some thousands of them; none at the end of the list.

        The list is made once on each connection. The first call reads the whole table.
        """
        with self._use() as connection:
            if not self._listed:
                connection.execute(
                    block("purge.sql", "list_finished", self._place), finished.parameters(), prepare=False
                )
                self._listed = True
            return [job_id for (job_id,) in connection.execute(block("purge.sql", "finished", self._place))]

    def purge(self, finished: Finished, jobs: Sequence[str]) -> int:
        """Purge those of these jobs that are finished still, in one transaction; returns how many rows were removed.

        No statement that writes rows runs meanwhile, so give few jobs. Raises DatabaseAwayError if one that runs takes
        too long, and BadRowError if a foreign key of another table needs a row.
        """
        with self._use() as connection, connection.transaction():
            connection.execute(GATE_WAIT)
            connection.execute(block("purge.sql", "gate", self._place))
            parameters = finished.parameters(jobs=json_params.texts(jobs))
            ((count,),) = connection.execute(self._purge, parameters)
        return int(count)

    def analyze(self) -> None:
        """Tell the planner that there are purged jobs. A role that does not own the table leaves that to autovacuum."""
        with self._use() as connection:
            connection.execute(block("purge.sql", "analyze", self._place))

    def forget(self, held: Mapping[str, int], limit: int, after: str) -> ForgottenPage:
        """Forget those of the next purged jobs that were purged before `limit` and of which nothing can come any more.

        `held` has for each log of the topic the first offset that it, or a dead letter, still has.
        """
        parameters = {"logs": json_params.next_offsets(held), "limit": limit, "after": after, "page": PAGE}
        (found,) = self._do("forget", parameters)
        return ForgottenPage(*found)

    def _do(self, name: str, parameters: Mapping[str, Any]) -> list[TupleRow]:
        with self._use() as connection:
            return connection.execute(block("purge.sql", name, self._place), parameters).fetchall()
