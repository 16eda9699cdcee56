"""A pooler in transaction mode, noticed before anything is set in a session that it lends to other programs as well."""

from __future__ import annotations

import select
import time
from typing import Final

import psycopg
from psycopg import Connection, pq
from psycopg.rows import TupleRow

from jobstatus_consumer.errors import PoolerError

WAIT_SECONDS: Final = 2.0
"""How long a pooler may take to find a second session; one that pools by session may have none to spare."""
_PID: Final = b"SELECT pg_catalog.pg_backend_pid()"


def refuse_transaction_mode(connection: Connection[TupleRow], conninfo: str) -> None:
    """Raise PoolerError, and close the connection, if it is to a pooler in transaction mode.

    A pooler answers with a process id of its own, so it costs a direct connection one short question. May block for
    `WAIT_SECONDS` and the time of one more connection. Raises what psycopg raises.
    """
    try:
        ((first,),) = connection.execute(_PID, prepare=False).fetchall()
        if first == connection.info.backend_pid or not _shares(connection, conninfo, first):
            return
    except BaseException:
        connection.close()
        raise
    connection.close()
    raise PoolerError


def _shares(connection: Connection[TupleRow], conninfo: str, first: int) -> bool:
    """Whether a transaction of another client gets the session that this connection had, or takes it away."""
    with psycopg.connect(conninfo, autocommit=True) as other:
        taken = _pid_in_transaction(other.pgconn)
        if taken is None:
            return False
        ((now,),) = connection.execute(_PID, prepare=False).fetchall()
        return first == taken or now != first


def _pid_in_transaction(pgconn: pq.abc.PGconn) -> int | None:
    """The process id of the session in which a transaction of this connection is, and stays; None if it got none."""
    pgconn.send_query(b"BEGIN; " + _PID)
    # not select(), which refuses a descriptor above 1,023
    answers = select.poll()
    answers.register(pgconn.socket, select.POLLIN)
    deadline = time.monotonic() + WAIT_SECONDS
    found = None
    while True:
        while pgconn.is_busy():
            if not answers.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return None
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            return found
        if result.ntuples:
            found = int(result.get_value(0, 0) or 0)
