"""The one connection of a consumer to PostgreSQL, used by its writer thread alone."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow

from jobstatus_consumer.core.fold import Statement, fold
from jobstatus_consumer.core.rule import RowState
from jobstatus_consumer.errors import BadRowError, DatabaseAwayError, DeploymentError, StoreError
from jobstatus_consumer.records import Batch, Event, LogRange, Written
from jobstatus_consumer.store import json_params as documents
from jobstatus_consumer.store.connection import (
    DEFAULT_LIMITS,
    SESSION,
    Limits,
    open_connection,
    session_parameters,
)
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.sqlstate import classify, kind_of
from jobstatus_consumer.store.write_counts import WriteCounts

logger = logging.getLogger("jobstatus.store")

READ_ONLY = "25006"
"""After a fail-over the writable server is elsewhere, and a session keeps its own default: only a new one finds out."""


class Store:
    """Writes batches under the guard.

    Every method raises one of `StoreError`'s kinds and nothing else. After an error that cost the connection
    `connected` is false, and the caller connects anew; the same batch may then be written again.
    """

    def __init__(
        self, url: str, table: str, *, limits: Limits = DEFAULT_LIMITS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._limits = limits
        self._clock = clock
        self._connection: Connection[TupleRow] | None = None
        self._sent_at: float | None = None
        self._known: set[str] = set()
        name = TableName.parse(table)
        # put together once, not for every batch
        self._write = block("write.sql", "write", name).as_bytes()
        self._states = block("write.sql", "states", name).as_bytes()
        self._progress = block("write.sql", "progress", name).as_bytes()
        self._topic_progress = block("write.sql", "topic_progress", name).as_bytes()

    @property
    def connected(self) -> bool:
        return self._connection is not None

    def connect(self) -> None:
        """A new session, prepared from scratch; one that was open is closed.

        The database behind it may be another one, or have forgotten: compare `progress` before writing anything.
        """
        self.close()
        self._known.clear()
        self._connection = open_connection(self._url, self._limits)
        try:
            self._execute(SESSION, session_parameters(self._limits))
        except StoreError:
            self.close()
            raise

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def cancel(self, timeout: float = 2.0) -> None:
        """End the statement that is running; the one method for another thread. The write raises DatabaseAwayError."""
        connection = self._connection
        if connection is not None and not connection.closed:
            connection.cancel_safe(timeout=timeout)

    @property
    def statement_age(self) -> float:
        """Seconds since the statement that is running was sent; 0 where none is. For any thread."""
        sent_at = self._sent_at
        return 0.0 if sent_at is None else self._clock() - sent_at

    def cut(self) -> None:
        """Break the connection under a statement that gets no answer; for another thread.

        The socket is shut down, not closed: the thread that waits on it sees its end, and the write raises
        DatabaseAwayError.
        """
        connection = self._connection
        if connection is not None and not connection.closed:
            with socket.socket(fileno=os.dup(connection.fileno())) as line:
                try:
                    line.shutdown(socket.SHUT_RDWR)
                except OSError as error:
                    logger.debug("the connection was gone already: %s", error)

    def progress(self, log_ids: Iterable[str]) -> dict[str, int]:
        """For each of these logs that the database knows: the offset it needs next."""
        found = self._ask_progress(log_ids)
        self._known.update(found)
        return found

    def _ask_progress(self, log_ids: Iterable[str]) -> dict[str, int]:
        rows = self._execute(self._progress, {"logs": documents.strings(log_ids)})
        return {log_id: next_offset for log_id, next_offset in rows}  # noqa: C416 - dict() loses the types

    def topic_progress(self, topic: str) -> dict[str, int]:
        """For each log of the topic that the database knows, of another topic of that name too: the next offset."""
        rows = self._execute(self._topic_progress, {"prefix": f"{topic}/"})
        found = {log_id: next_offset for log_id, next_offset in rows}  # noqa: C416 - dict() loses the types
        self._known.update(found)
        return found

    def write(self, batch: Batch) -> Written:
        """Write a batch, in one statement unless a job's events cannot merge or a row is bad.

        1. Fold. 2. Write the statements in order, the progress of the logs in the last one. 3. Where a statement
        refuses a row, halve it until the row stands alone; the others land. Nothing is rejected unless all else
        was written: an error that is not about a row leaves through this method, and the batch comes again whole.
        """
        started = self._clock()
        tally = WriteCounts()
        *before, last = fold(batch.events) or [Statement((), {})]
        for statement in before:
            self._apply(statement, (), tally)
        self._apply(last, batch.spans, tally)
        return tally.written(self._clock() - started)

    def _apply(self, statement: Statement, spans: Sequence[LogRange], tally: WriteCounts) -> None:
        """Write one statement, and halve it where a row is bad."""
        try:
            self._send(statement, spans, tally)
        except BadRowError as error:
            if not statement.events:
                # without a row in it, no row can be the reason
                raise DeploymentError(
                    str(error), sqlstate=error.sqlstate, error_class=error.error_class, where=error.where
                ) from error
            for part in self._parts(statement, error, tally):
                self._apply(part, (), tally)
            if spans:
                self._apply(Statement((), {}), spans, tally)

    @staticmethod
    def _parts(statement: Statement, error: BadRowError, tally: WriteCounts) -> list[Statement]:
        """The halves; or, where the bad row stands alone, what was merged into it, folded without it."""
        events, merged = statement
        if len(events) == 1:
            tally.reject(events[0], error)
            return fold(merged.get(events[0].job_id, ()))
        middle = len(events) // 2
        return [Statement(events[:middle], merged), Statement(events[middle:], merged)]

    def _send(self, statement: Statement, spans: Sequence[LogRange], tally: WriteCounts) -> None:
        events = statement.events
        applied, advanced = self._send_rows(events, spans)
        if advanced < len(spans):
            self._refuse_gaps(spans)
        self._known.update(span.log_id for span in spans)
        tally.sent(statement)
        tally.applied += applied
        if applied < len(events):
            tally.explain(events, len(events) - applied, self._row_states(events))

    def _send_rows(self, events: Sequence[Event], spans: Sequence[LogRange]) -> tuple[int, int]:
        try:
            columns, late = documents.columns(events), documents.late(events)
        except TypeError as error:
            raise classify(error) from None
        parameters = {**columns, "late_jobs": late, "logs": documents.logs(spans, self._known)}
        ((applied, advanced),) = self._execute(self._write, parameters)
        return applied, advanced

    def _refuse_gaps(self, spans: Sequence[LogRange]) -> None:
        """Where a log's progress did not move it was there already, or the database has forgotten what was before.

        Then this session ends, because on a new one the caller compares, and reads again what is missing.
        """
        found = self._ask_progress(span.log_id for span in spans)
        for span in spans:
            known = found.get(span.log_id)
            if known is None or known < span.end:
                self.close()
                knows = "nothing" if known is None else f"only what is before offset {known}"
                raise DatabaseAwayError(
                    f"the database has forgotten: of {span.topic}[{span.partition}] it knows {knows}, "
                    f"though offset {span.start} comes next"
                )

    def _row_states(self, events: Sequence[Event]) -> dict[str, RowState]:
        jobs = documents.strings(event.job_id for event in events)
        return {job_id: RowState(*state) for job_id, *state in self._execute(self._states, {"jobs": jobs})}

    def _execute(self, query: bytes, parameters: dict[str, Any]) -> list[TupleRow]:
        connection = self._connection
        if connection is None:
            raise DatabaseAwayError("not connected")
        self._sent_at = self._clock()
        try:
            return connection.execute(query, parameters).fetchall()
        except Exception as error:
            if connection.closed or connection.broken or getattr(error, "sqlstate", None) == READ_ONLY:
                self.close()
            if kind_of(error) is None:
                raise
            raise classify(error) from None  # the text of psycopg's error may hold values of the row
        finally:
            self._sent_at = None
