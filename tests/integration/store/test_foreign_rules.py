"""What the table's owner adds: columns, constraints and triggers that refuse rows, drop them or write others."""

from __future__ import annotations

import psycopg
import pytest
from jobstatus_consumer.errors import DeploymentError
from jobstatus_consumer.store import Store
from law import table
from law.events import LOG_A, batch, event
from psycopg.rows import TupleRow

Database = psycopg.Connection[TupleRow]


def trigger(database: Database, body: str, when: str = "BEFORE INSERT OR UPDATE") -> None:
    database.execute(
        f"CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN new; END $$".encode()
    )
    database.execute(f"CREATE TRIGGER theirs {when} ON jobs FOR EACH ROW EXECUTE FUNCTION theirs()".encode())


@pytest.mark.parametrize(
    ("change", "sqlstate", "about"),
    [
        ("ADD tenant text NOT NULL", "23502", "tenant"),
        ("ADD tenant text CONSTRAINT has_tenant CHECK (tenant IS NOT NULL)", "23514", "tenant"),
        ("ADD tenant integer NOT NULL DEFAULT 0 CONSTRAINT known REFERENCES tenants", "23503", "tenant"),
        ("ADD tenant text NOT NULL DEFAULT '' UNIQUE", "23505", "tenant"),
    ],
)
def test_a_violation_on_a_column_that_is_not_ours_stops(
    store: Store, database: Database, change: str, sqlstate: str, about: str
) -> None:
    database.execute("CREATE TABLE tenants (id integer PRIMARY KEY)")
    database.execute(f"ALTER TABLE jobs {change}".encode())
    with pytest.raises(DeploymentError, match=f"about {about}, which jobstatus does not fill") as caught:
        store.write(batch([event("a", 0), event("b", 1)]))
    assert caught.value.sqlstate == sqlstate
    assert store.progress([LOG_A]) == {}
    database.execute("ALTER TABLE jobs DROP tenant")
    assert store.write(batch([event("a", 0), event("b", 1)])).applied == 2


def test_a_constraint_over_one_of_our_columns_is_about_the_row(store: Store, database: Database) -> None:
    database.execute("ALTER TABLE jobs ADD tenant text, ADD CHECK (tenant IS NOT NULL OR status <> 'success')")
    written = store.write(batch([event("a", 0), event("b", 1, status="success")]))
    assert [item.raw.offset for item in written.rejected] == [1]


def test_a_row_that_a_trigger_leaves_out_is_isolated_and_not_stale(store: Store, database: Database) -> None:
    trigger(database, "IF new.job_id IN ('b', 'd') THEN RETURN NULL; END IF;")
    events = [event(name, number) for number, name in enumerate("abcde")]
    written = store.write(batch(events))
    assert (written.applied, written.stale) == (3, {})
    assert [(item.raw.offset, item.stage, item.reason) for item in written.rejected] == [
        (1, "write", "left_out"),
        (3, "write", "left_out"),
    ]
    assert "BEFORE trigger" in written.rejected[0].detail
    assert store.progress([LOG_A]) == {LOG_A: 5}
    again = store.write(batch(events))
    assert (again.stale, len(again.rejected)) == ({"redelivered": 3}, 2)


def test_an_update_that_a_trigger_leaves_out_is_isolated_too(store: Store, database: Database) -> None:
    store.write(batch([event("a", 0), event("b", 1)]))
    trigger(database, "IF new.status = 'success' THEN RETURN NULL; END IF;", "BEFORE UPDATE")
    events = [event("a", 2, time=1), event("b", 3, time=1), event("b", 4, time=2, status="success")]
    written = store.write(batch(events))
    assert (written.applied, written.stale, written.merged) == (2, {}, 0)
    assert [item.raw.offset for item in written.rejected] == [4]
    assert table.read(database)["b"].offset == 3, "the event that was merged into it is written"


def test_a_row_that_is_left_out_only_once_is_written(store: Store, database: Database) -> None:
    database.execute("CREATE SEQUENCE seen")  # goes on counting when a statement is rolled back
    trigger(database, "IF nextval('seen') = 1 THEN RETURN NULL; END IF;")
    written = store.write(batch([event("a", 0)]))
    assert (written.applied, written.stale, written.rejected) == (1, {}, ())


@pytest.mark.parametrize("rows", ["new", "old"])
def test_a_trigger_that_writes_a_later_row_of_the_batch_costs_nobody_its_row(
    store: Store, database: Database, rows: str
) -> None:
    if rows == "old":
        store.write(batch([event("a", 0), event("b", 1), event("c", 2)]))
    trigger(
        database,
        "IF new.job_id = 'a' THEN INSERT INTO jobs (job_id, status) VALUES ('b', 'touched')"
        " ON CONFLICT (job_id) DO UPDATE SET status = 'touched'; END IF;",
    )
    written = store.write(batch([event("a", 3, time=1), event("b", 4, time=1), event("c", 5, time=1)], ()))
    assert (written.applied, written.rejected) == (3, ())
    assert [row.offset for _, row in sorted(table.read(database).items())] == [3, 4, 5]


def test_a_trigger_that_changes_its_own_row_is_isolated(store: Store, database: Database) -> None:
    store.write(batch([event("a", 0), event("b", 1)]))
    trigger(
        database,
        "IF new.job_id = 'a' THEN UPDATE jobs SET status = 'touched' WHERE job_id = 'a' AND log_offset = 0"
        " AND pg_trigger_depth() = 1; END IF;",
        "BEFORE UPDATE",
    )
    written = store.write(batch([event("a", 2, time=1), event("b", 3, time=1)]))
    assert written.applied == 1
    assert [(item.raw.offset, item.sqlstate) for item in written.rejected] == [(2, "27000")]
