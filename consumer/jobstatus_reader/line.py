"""One connection to PostgreSQL that threads share: one statement at a time, connected anew when it was lost.

It keeps no state in its session and prepares nothing, so a pooler in any mode may stand in between.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import psycopg
from jobstatus_schemas.database_url import MALFORMED, is_misread, own_parameters, read_url, without_password
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from jobstatus_reader.errors import (
    DatabaseUnavailableError,
    ReaderClosedError,
    ReaderError,
    ReaderSettingsError,
    ReaderSetupError,
)

CONNECT_SECONDS: Final = 5.0
STATEMENT_SECONDS: Final = 10.0
"""A lookup that takes longer, such as one behind a lock on the table, is given up."""
DEAF_SECONDS: Final = 15.0
"""A connection whose packets vanish is given up after so long."""
PASSING: Final = ("08", "25006", "40", "53", "55P03", "57", "58")
"""SQLSTATEs, or their first characters, of errors that may pass."""
HIDDEN: Final = ("42501", "42P01")
"""No right, and no such table: the server hides a table in a schema that the role may not use."""
NEEDS: Final = "SELECT on the table and USAGE on its schema, which jobstatus grants reader prints;"


class Line:
    """The connection. Every method may be called by any thread; all but `close` block while another one asks."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._turn = threading.Lock()
        self._connection: Connection[TupleRow] | None = None
        self._of_parent: Connection[TupleRow] | None = None
        self._closed = False

    def fetch(self, query: sql.Composed, parameters: Mapping[str, Any]) -> list[TupleRow]:
        """The rows of one statement, in a transaction that can write nothing.

        Blocks for 15 s at most if no other thread asks, or for as long as TCP takes to give up a dead connection.
        """
        with self._turn:
            if self._closed:
                raise ReaderClosedError("the reader is closed")
            try:
                connection = self._connected()
                with connection.transaction():
                    connection.execute(f"SET LOCAL statement_timeout = {round(STATEMENT_SECONDS * 1000)}".encode())
                    return connection.execute(query, parameters).fetchall()
            except psycopg.Error as error:
                self._drop_if_lost()
                if self._closed:
                    raise ReaderClosedError("the reader was closed during the call") from None
                raise _ours(error) from None

    def close(self) -> None:
        """End the connection. A statement that runs is cancelled, and its caller gets `ReaderClosedError`.

        May block for 5 s while a connection is being made.
        """
        self._closed = True
        running = self._connection
        if running is not None and self._turn.locked():
            with suppress(psycopg.Error):
                running.cancel_safe(timeout=2.0)
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def forget(self) -> None:
        """After a fork, in the child: the connection is the parent's, so another one is made."""
        self._turn = threading.Lock()
        # kept, because the end of this object would complain that it was not closed
        self._of_parent, self._connection = self._connection, None

    def _connected(self) -> Connection[TupleRow]:
        if self._connection is None:
            self._connection = _connect(self._url)
        return self._connection

    def _drop_if_lost(self) -> None:
        connection = self._connection
        if connection is not None and (connection.closed or connection.broken):
            connection.close()
            self._connection = None


def _connect(url: str) -> Connection[TupleRow]:
    secret = ""
    try:
        plain = _current(url)
        given = conninfo_to_dict(plain)
        if is_misread(given):
            raise ReaderSettingsError(MALFORMED)
        secret = str(given.get("password") or "")
        ours = own_parameters(given, application="jobstatus-reader", connect=CONNECT_SECONDS, deaf=DEAF_SECONDS)
        connection = psycopg.connect(make_conninfo(plain, **ours), autocommit=True, prepare_threshold=None)
    except psycopg.ProgrammingError:
        # libpq's message repeats the URL, and in a malformed URL the password may be anywhere
        raise ReaderSettingsError(MALFORMED) from None
    except psycopg.Error as error:
        raise _ours(error, secret) from None
    connection.read_only = True
    return connection


def _current(url: str) -> str:
    try:
        return read_url(url)
    except ValueError as error:
        # it may be being replaced just now
        raise DatabaseUnavailableError(f"JOBSTATUS_DATABASE_URL_FILE: {error}") from None


def _ours(error: psycopg.Error, secret: str = "") -> ReaderError:
    """Our error for psycopg's. The text is the server's: a lookup's error holds no value of a row."""
    sqlstate = error.sqlstate
    head = type(error).__name__ + (f" ({sqlstate})" if sqlstate else "")
    said = " ".join(str(error.diag.message_primary or error).split())
    text = without_password(f"{head}: {said}", secret)
    if sqlstate is None or sqlstate.startswith(PASSING):
        return DatabaseUnavailableError(f"the database does not answer: {text}")
    needs = f" This role needs {NEEDS}" if sqlstate in HIDDEN else ""
    return ReaderSetupError(f"the table cannot be read: {text}.{needs} jobstatus check names what is missing")
