"""An opener that remembers: a test can do to the store's own connection what a server or a pooler may do."""

from __future__ import annotations

from jobstatus_consumer.store import Limits
from jobstatus_consumer.store.connection import open_connection
from psycopg import Connection
from psycopg.rows import TupleRow


class Opened:
    """Opens connections as the store itself does, and keeps the last one."""

    last: Connection[TupleRow]

    def __call__(self, url: str, limits: Limits) -> Connection[TupleRow]:
        self.last = open_connection(url, limits)
        return self.last
