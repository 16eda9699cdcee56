"""One session with PostgreSQL: it belongs to one thread, and other threads can only break it."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Final, TypeVar

import psycopg
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from jobstatus_consumer.errors import DatabaseAwayError, JobStatusError
from jobstatus_consumer.store.connection import (
    DEFAULT_LIMITS,
    SAFE_PATH,
    SESSION,
    TRANSACTION,
    Limits,
    is_pooled,
    open_connection,
    session_parameters,
)
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.raw_query import RawQuery
from jobstatus_consumer.store.sqlstate import classify

logger = logging.getLogger("jobstatus.store")

READ_ONLY: Final = "25006"
"""After a fail-over the writable server is another one, and a session keeps its own default: only a new one sees it."""

Opener = Callable[[str, Limits], Connection[TupleRow]]
Self_ = TypeVar("Self_", bound="Session")


class Session:
    """A connection that is made by `connect` and lost by an error; both may happen many times.

    Every method raises one of `StoreError`'s kinds and nothing else. After an error that cost the connection
    `connected` is false, and the caller may connect again. Only `statement_age`, `cancel` and `cut` may be called
    by another thread than the one that owns the session.
    """

    def __init__(
        self,
        url: str,
        limits: Limits = DEFAULT_LIMITS,
        *,
        clock: Callable[[], float] = time.monotonic,
        opener: Opener = open_connection,
    ) -> None:
        self._url = url
        self._limits = limits
        self._clock = clock
        self._opener = opener
        self._connection: Connection[TupleRow] | None = None
        # A descriptor of our own for the connection's socket. libpq closes its descriptor whenever the connection
        # breaks, and the number may then belong to any other file; this one is closed by `close` alone.
        self._line: socket.socket | None = None
        # held while the connection and the line are replaced, and while another thread uses one of them
        self._handover = threading.Lock()
        self._sent_at: float | None = None
        # the answer to SESSION; the schemas of the user's search_path are in it
        self._settings: list[TupleRow] = []
        # behind a pooler in transaction mode each transaction sets the search_path that `located` has found
        self._pooled = is_pooled(url)
        self._path = SAFE_PATH

    def __enter__(self: Self_) -> Self_:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def connected(self) -> bool:
        """False before `connect`, after `close`, and after an error that cost the connection."""
        return self._connection is not None

    def connect(self) -> None:
        """Open a connection with our session settings; an open one is closed first. May block for `Limits.connect`."""
        self.close()
        connection = self._opener(self._url, self._limits)
        with self._handover:
            self._connection = connection
            self._line = socket.socket(fileno=os.dup(connection.fileno()))
        self._path = SAFE_PATH
        try:
            self._settings = self.execute(SESSION, session_parameters(self._limits, local=self._pooled))
            self.prepare()
        except JobStatusError:
            self.close()
            raise

    def prepare(self) -> None:
        """For a subclass: called on each new connection. What it raises ends the connection."""

    def close(self) -> None:
        """End the connection, if there is one."""
        with self._handover:
            connection, self._connection = self._connection, None
            line, self._line = self._line, None
            if line is not None:
                line.close()
        if connection is not None:
            connection.close()

    def execute(self, query: bytes | sql.Composed | RawQuery, parameters: Mapping[str, Any]) -> list[TupleRow]:
        """The rows of one statement."""
        # a commit may wait as well, for a standby
        self._sent_at = self._clock()
        try:
            with self.use() as connection:
                if isinstance(query, RawQuery):
                    return query.fetch(connection, parameters)
                return connection.execute(query, parameters).fetchall()
        finally:
            self._sent_at = None

    def located(self, name: TableName) -> TableName:
        """The name as this session finds it, with its schema where that is needed. Sets the search_path.

        A name without a schema is that of the first schema in the user's search_path that has it, or, for a new table,
        of the first schema there. Our own path has only those of them in which no other role may create anything.
        """
        ((_, schemas, *_),) = self._settings
        given = {"schemas": list(schemas), "name": name.name, "local": self._pooled}
        found = self.execute(block("admin.sql", "place", name), given)
        if not found:
            return name
        ((schema, in_our_path, self._path),) = found
        if name.schema is not None:
            return name
        return name if in_our_path else name.within(schema)

    @contextmanager
    def use(self) -> Iterator[Connection[TupleRow]]:
        """The connection, for statements inside the block. What psycopg raises there comes out as our error.

        Behind a pooler in transaction mode the block is one transaction, with our settings.
        """
        connection = self._connection
        if connection is None:
            raise DatabaseAwayError("not connected")
        try:
            with self._transaction(connection) if self._pooled else nullcontext():
                yield connection
        except (psycopg.Error, UnicodeError) as error:
            if connection.closed or connection.broken or getattr(error, "sqlstate", None) == READ_ONLY:
                self.close()
            raise classify(error) from None  # the text of psycopg's error may hold values of the row

    @contextmanager
    def _transaction(self, connection: Connection[TupleRow]) -> Iterator[None]:
        with connection.transaction():
            connection.execute(TRANSACTION, session_parameters(self._limits, self._path, local=True))
            yield

    @property
    def statement_age(self) -> float:
        """Seconds since the running statement was sent; 0 if none is running. For any thread; never blocks."""
        sent_at = self._sent_at
        return 0.0 if sent_at is None else self._clock() - sent_at

    def cancel(self, timeout: float = 2.0) -> None:
        """Ask the server to end the running statement, which then raises DatabaseAwayError. For another thread.

        May block for `timeout` seconds.
        """
        with self._handover:
            connection = self._connection
            if connection is not None and not connection.closed:
                try:
                    connection.cancel_safe(timeout=timeout)
                except psycopg.Error as error:
                    logger.debug("the statement could not be cancelled: %s", type(error).__name__)

    def cut(self) -> None:
        """Break the connection under a statement that gets no answer. For another thread; never blocks.

        The socket is shut down, not closed. The thread that waits for the answer sees its end, and the statement
        raises DatabaseAwayError.
        """
        with self._handover:
            if self._line is not None:
                try:
                    self._line.shutdown(socket.SHUT_RDWR)
                except OSError as error:
                    logger.debug("the connection had ended already: %s", error)


@contextmanager
def connected(url: str, limits: Limits, name: TableName) -> Iterator[tuple[Connection[TupleRow], TableName]]:
    """A connection for the block, as `Session.use` gives it, and the table's place; closed afterwards."""
    with Session(url, limits) as session:
        session.connect()
        place = session.located(name)
        with session.use() as connection:
            yield connection, place
