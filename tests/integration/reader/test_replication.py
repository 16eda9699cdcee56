"""What a subscriber of the table sees: the page on the table says so."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from jobstatus_consumer.store import Finished, PurgeTable, Store, migrate
from jobstatus_local.postgres import LocalPostgres
from law.events import batch, event
from psycopg.rows import TupleRow
from support.parts import started

pytestmark = pytest.mark.postgres
KINDS = {b"I": "insert", b"U": "update", b"D": "delete", b"T": "truncate"}
PEEK = (
    "SELECT data FROM pg_logical_slot_get_binary_changes('seen', NULL, NULL, "
    "'proto_version', '1', 'publication_names', 'job_states')"
)


@pytest.fixture
def url() -> Iterator[str]:
    """A database whose server writes what logical replication needs."""
    settings = {"fsync": "off", "full_page_writes": "off", "wal_level": "logical"}
    with started("a real PostgreSQL", LocalPostgres(settings=settings)) as server:
        migrate(server.url, "jobs")
        yield server.url


def seen(session: psycopg.Connection[TupleRow]) -> list[tuple[str, bool]]:
    """The changes since the last call, and whether each comes with a row as it was before."""
    changes = [bytes(data) for (data,) in session.execute(PEEK)]
    # after the kind and the table's number, an old row or an old key is announced by O or K
    return [(KINDS[data[:1]], data[5:6] in (b"O", b"K")) for data in changes if data[:1] in KINDS]


def test_a_subscriber_sees_each_change_of_a_row_once_and_nothing_of_a_redelivery(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as session, Store(url, "jobs") as store:
        session.execute("CREATE PUBLICATION job_states FOR TABLE jobs")
        session.execute("SELECT pg_create_logical_replication_slot('seen', 'pgoutput')")
        store.connect()
        first = [event("a", 0), event("b", 1, status="success")]
        store.write(batch(first))
        assert seen(session) == [("insert", False), ("insert", False)]
        store.write(batch([event("a", 2, time=2, status="success")]))
        assert seen(session) == [("update", False)]
        store.write(batch(first))
        assert seen(session) == []
        with PurgeTable(url, "jobs") as table:
            assert table.purge(Finished(("success",), int(time.time() * 1e6)), ["a", "b"]) == 2
        assert seen(session) == [("delete", True), ("delete", True)]
