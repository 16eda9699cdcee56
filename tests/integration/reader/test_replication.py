"""What a subscriber of the table sees: the page on the table says so."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import psycopg
import pytest
from jobstatus_consumer.store import Finished, PurgeTable, Store, migrate
from jobstatus_local.postgres import LocalPostgres
from law.events import batch, event
from psycopg.rows import TupleRow
from support.pages import ROOT
from support.parts import started
from support.waiting import until

pytestmark = pytest.mark.postgres
(PUBLICATION,) = re.findall(r"^CREATE PUBLICATION .*;$", (ROOT / "docs/reference/table.md").read_text("utf-8"), re.M)
KINDS = {b"I": "insert", b"U": "update", b"D": "delete", b"T": "truncate"}
PEEK = (
    "SELECT data FROM pg_logical_slot_get_binary_changes('seen', NULL, NULL, "
    "'proto_version', '1', 'publication_names', 'job_states')"
)
ROWS = "SELECT * FROM jobs ORDER BY job_id"


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
        session.execute(PUBLICATION)
        session.execute("SELECT pg_create_logical_replication_slot('seen', 'pgoutput')")
        store.connect()
        first = [event("a", 0), event("b", 1, status="success")]
        store.write(batch(first))
        assert seen(session) == [("insert", False), ("insert", False)]
        store.write(batch([event("a", 2, time=2, status="success")]))
        assert seen(session) == [("update", False)]
        store.write(batch(first))
        assert session.execute(PEEK).fetchall() == [], "not even an empty transaction"
        with PurgeTable(url, "jobs") as table:
            assert table.purge(Finished(("success",), int(time.time() * 1e6)), ["a", "b"]) == 2
        assert seen(session) == [("delete", True), ("delete", True)]


def test_a_subscription_has_the_rows_and_a_decoder_of_everything_sees_the_progress_too(url: str) -> None:
    """PostgreSQL's own subscription in another database, and a slot that no publication limits."""
    with psycopg.connect(url, autocommit=True) as session, Store(url, "jobs") as store:
        session.execute("CREATE DATABASE copy")
        copied = url.rsplit("/", 1)[0] + "/copy"
        migrate(copied, "jobs")
        session.execute(PUBLICATION)
        session.execute("SELECT pg_create_logical_replication_slot('copied', 'pgoutput')")
        session.execute("SELECT pg_create_logical_replication_slot('everything', 'test_decoding')")
        store.connect()
        first = [event("a", 0), event("b", 1)]
        store.write(batch(first))
        with psycopg.connect(copied, autocommit=True) as copy:
            copy.execute(
                f"CREATE SUBSCRIPTION job_states CONNECTION '{url}' PUBLICATION job_states "
                "WITH (create_slot = false, slot_name = copied, copy_data = false)".encode()
            )
            store.write(batch([event("a", 2, time=2, status="success")]))
            store.write(batch(first))
            with PurgeTable(url, "jobs") as table:
                table.purge(Finished(("success",), int(time.time() * 1e6)), ["a"])
            wanted = session.execute(ROWS).fetchall()
            until(lambda: copy.execute(ROWS).fetchall() == wanted, "the subscription has what the table has")
            assert [row[0] for row in wanted] == ["b"]
            assert copy.execute("SELECT count(*) FROM jobs_progress").fetchall() == [(0,)]
            copy.execute("ALTER SUBSCRIPTION job_states DISABLE")
            copy.execute("ALTER SUBSCRIPTION job_states SET (slot_name = NONE)")
            copy.execute("DROP SUBSCRIPTION job_states")
        decoded = session.execute("SELECT data FROM pg_logical_slot_get_changes('everything', NULL, NULL)").fetchall()
        tables = [match[1] for (line,) in decoded if (match := re.match(r"table public\.(\w+): ", line))]
        # two inserts, an update and a delete are of the table, and what a purge keeps is beside it
        assert {name: tables.count(name) for name in set(tables)} == {"jobs": 4, "jobs_progress": 2, "jobs_purged": 1}
