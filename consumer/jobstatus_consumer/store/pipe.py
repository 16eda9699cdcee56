"""Transactions that are sent on one connection before the earlier ones are acknowledged: libpq's pipeline mode.

Each transaction is BEGIN, its statements and COMMIT, followed by a request to flush the answers and not by a Sync.
Without a Sync the server skips everything behind an error. So a transaction is executed only if every earlier one was
committed. `end` sends the Sync, after the last answer or after an error.

psycopg's own pipeline waits for all answers where one is wanted, so this module uses its wrapper of libpq.
"""

from __future__ import annotations

import itertools
import select
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import Connection, postgres
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from jobstatus_consumer.store.json_params import JsonbText, JsonText
from jobstatus_consumer.store.raw_query import RawQuery

TYPES: Final = {JsonText: postgres.types["json"].oid, JsonbText: postgres.types["jsonb"].oid}
FAILED: Final = (ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED)

Answer = Sequence[bytes | None]
"""The only row of a statement's result, as texts."""


class Command(NamedTuple):
    """A statement and its parameters, each a finished document."""

    query: RawQuery
    parameters: Mapping[str, bytes]
    """each a `JsonText` or a `JsonbText`"""


class Pipe:
    """The transactions in flight on one connection, in order. It belongs to the thread that owns the connection.

    Every method raises what psycopg raises. After an error only `end` may be called: the server has executed nothing
    of the transaction that failed, nor of those behind it. `heard` is called with each result that comes.
    """

    def __init__(self, connection: Connection[Any], heard: Callable[[], object] = lambda: None) -> None:
        self._heard = heard
        self._connection = connection
        self._pgconn = connection.pgconn
        self._names: dict[bytes, bytes] = {}
        self._numbers = itertools.count()
        # an answer has come, and so the server has prepared the statements
        self._answered = False
        # how many results each transaction in flight still has, and what has come of the oldest one
        self._expected: deque[int] = deque()
        self._results: list[PGresult] = []
        self._open = False

    @property
    def open(self) -> bool:
        """Whether the connection is in pipeline mode, where nothing else can use it."""
        return self._open

    def send(self, commands: Sequence[Command]) -> None:
        """Send a transaction. Blocks only while the socket takes no more bytes."""
        if not self._open:
            self._pgconn.enter_pipeline_mode()
            self._open = True
        before = sum(self._prepare(command) for command in (_BEGIN, *commands, _COMMIT))
        self._execute(_BEGIN)
        for command in commands:
            if command is not commands[0]:
                # the result of the statement before: the server would keep it until the end of the transaction
                self._pgconn.send_flush_request()
            self._execute(command)
        self._execute(_COMMIT)
        self._pgconn.send_flush_request()
        self._expected.append(before + len(commands) + 2)
        self._flush()

    def _prepare(self, command: Command) -> int:
        """Have the server prepare the statement, once for each connection. Returns how many results that has."""
        text = command.query.text
        if text in self._names:
            return 0
        name = self._names[text] = b"jobstatus_%d" % next(self._numbers)
        self._pgconn.send_prepare(name, text, [TYPES[type(value)] for value in _values(command)])
        return 1

    def _execute(self, command: Command) -> None:
        self._pgconn.send_query_prepared(self._names[command.query.text], _values(command))

    def answers(self, wake: int | None = None) -> list[Answer] | None:
        """The answers to the statements of the oldest transaction, once it is committed.

        Blocks until then, or until the file descriptor `wake` is readable: then it returns None.
        """
        while not self._collect():
            if self._wait(wake):
                return None
        # each prepared statement and each COMMIT has a result without rows
        done, self._results = self._results, []
        self._expected.popleft()
        self._answered = True
        rows = (result for result in done if result.status == ExecStatus.TUPLES_OK)
        return [[result.get_value(0, column) for column in range(result.nfields)] for result in rows]

    def _collect(self) -> bool:
        """Take what has come. Returns whether the oldest transaction has all its results."""
        while len(self._results) < self._expected[0] and not self._pgconn.is_busy():
            result = self._result()
            if result is None:
                continue  # the end of one statement's results
            self._heard()
            if result.status in FAILED:
                raise psycopg.errors.error_from_result(result)
            self._results.append(result)
        return len(self._results) == self._expected[0]

    def _result(self) -> PGresult | None:
        """The next result; None behind the last one of a statement."""
        result = self._pgconn.get_result()
        if result is None and self._pgconn.status != ConnStatus.OK:
            # it has no results any more: without an error the caller would ask for the next one again and again
            raise psycopg.OperationalError("the connection was lost")
        return result

    def _flush(self) -> None:
        while self._pgconn.flush():
            self._wait(None, writing=True)

    def _wait(self, wake: int | None, *, writing: bool = False) -> bool:
        """Wait for the server, and read what it sent. Returns whether it was `wake` that was readable."""
        poll = select.poll()
        poll.register(self._pgconn.socket, select.POLLIN | (select.POLLOUT if writing else 0))
        if wake is not None:
            poll.register(wake, select.POLLIN)
        ready = {number for number, _ in poll.poll()}
        if self._pgconn.socket in ready:
            self._pgconn.consume_input()
            return False
        return True

    def end(self) -> None:
        """Leave pipeline mode. Blocks until the server has answered everything that was sent."""
        if not self._open:
            return
        self._sync()
        if self._pgconn.transaction_status != TransactionStatus.IDLE:
            # an error leaves its transaction open
            self._pgconn.send_query_params(b"ROLLBACK", None)
            self._sync()
        self._pgconn.exit_pipeline_mode()
        self._open = False
        self._expected.clear()
        self._results.clear()
        if not self._answered:
            self._names.clear()

    def _sync(self) -> None:
        self._pgconn.pipeline_sync()
        self._flush()
        while True:
            while self._pgconn.is_busy():
                self._wait(None)
            result = self._result()
            if result is not None and result.status == ExecStatus.PIPELINE_SYNC:
                return


def _values(command: Command) -> list[bytes]:
    return [command.parameters[name] for name in command.query.names]


_BEGIN: Final = Command(RawQuery(b"BEGIN", ()), {})
_COMMIT: Final = Command(RawQuery(b"COMMIT", ()), {})
