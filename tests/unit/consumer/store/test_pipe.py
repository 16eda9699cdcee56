"""A connection that libpq has given up while it looked for results, which no server does on demand."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from jobstatus_consumer.store.pipe import Command, Pipe
from jobstatus_consumer.store.raw_query import RawQuery
from psycopg.pq import ConnStatus


class Lost:
    """As libpq after the server has sent what is no message of the protocol: it is not busy, and has no result."""

    def __init__(self) -> None:
        self.status = ConnStatus.OK
        self._asked = itertools.count()

    def is_busy(self) -> bool:
        self.status = ConnStatus.BAD
        return False

    def get_result(self) -> None:
        assert next(self._asked) < 100, "it asks again and again"

    def flush(self) -> int:
        return 0

    def send_query_prepared(self, *_: object) -> None:
        pass

    send_prepare = enter_pipeline_mode = send_flush_request = pipeline_sync = send_query_prepared


@pytest.mark.parametrize("method", ["answers", "end"])
def test_a_connection_that_is_lost_between_two_results_is_an_error(method: str) -> None:
    connection: Any = SimpleNamespace(pgconn=Lost())
    pipe = Pipe(connection)
    pipe.send([Command(RawQuery(b"SELECT 1", ()), {})])
    with pytest.raises(psycopg.OperationalError, match="the connection was lost"):
        getattr(pipe, method)()
