"""Reads the whole table again and again while others write it: no row may go back or disappear."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, NamedTuple, Self

from psycopg import Connection, sql
from psycopg.rows import TupleRow

from jobstatus_demo.errors import DemoError
from jobstatus_demo.plan import RANKS

LOOK_EVERY: Final = 0.01
ROWS_EVERY: Final = 0.1
"""Reading the whole table costs more, so it happens less often."""
STOP_SECONDS: Final = 15.0


class Seen(NamedTuple):
    """The position and the state of a row when it was last read."""

    log_id: str
    log_offset: int
    status: str


def gone_back(before: Mapping[str, Seen], now: Mapping[str, Seen]) -> list[str]:
    """The jobs whose row has an earlier position in its log or a lower state than before, or has disappeared."""
    return [job_id for job_id, old in before.items() if _is_back(old, now.get(job_id))]


def _is_back(old: Seen, new: Seen | None) -> bool:
    if new is None:
        return True
    if new.log_id == old.log_id and new.log_offset < old.log_offset:
        return True
    return RANKS[new.status] < RANKS[old.status]


class Watch:
    """A thread with a connection of its own; a context manager. Its findings are complete after the `with`."""

    def __init__(self, connect: Callable[[], Connection[TupleRow]], application: str, table: str | None) -> None:
        """Counts the connections of `application`, and reads `table` if there is one."""
        self._connection = connect()
        self._table = table
        self._application = application
        self._last: dict[str, Seen] = {}
        self._connected: set[TupleRow] = set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-watch", daemon=True)
        self._error: Exception | None = None
        self.gone_back: set[str] = set()
        self.looks = 0
        self.most_connections = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(STOP_SECONDS)
        self._connection.close()
        if self._error is not None and error is None:
            raise DemoError(f"the table could not be watched: {self._error}") from self._error

    def _run(self) -> None:
        try:
            rows_due = 0.0
            while not self._ending.is_set():
                self._look_at_connections()
                if time.monotonic() >= rows_due:
                    self.look()
                    rows_due = time.monotonic() + ROWS_EVERY
                self._ending.wait(LOOK_EVERY)
            self.look()
        except Exception as error:  # noqa: BLE001 - __exit__ raises it
            self._error = error

    def _look_at_connections(self) -> None:
        """Count the connections that the look before found too: the server needs a moment to end a closed one."""
        found = self._connection.execute(
            "SELECT pid, backend_start FROM pg_stat_activity WHERE application_name = %s", (self._application,)
        )
        now = set(found.fetchall())
        self.most_connections = max(self.most_connections, len(now & self._connected))
        self._connected = now

    def look(self) -> None:
        """Read every row once."""
        if self._table is None:
            return
        now = self._rows(self._table)
        self.gone_back.update(gone_back(self._last, now))
        self._last = now
        self.looks += 1

    def _rows(self, table: str) -> dict[str, Seen]:
        query = sql.SQL("SELECT job_id, log_id, log_offset, status FROM {}").format(sql.Identifier(table))
        return {job_id: Seen(*row) for job_id, *row in self._connection.execute(query)}
