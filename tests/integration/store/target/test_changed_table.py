"""The application alters or locks its table while consumers run."""

from __future__ import annotations

import pytest
from jobstatus_consumer.errors import DatabaseAwayError, DeploymentError
from jobstatus_consumer.store import Limits
from law.events import event
from support.own_table import OwnTable


@pytest.fixture(autouse=True)
def _running(own: OwnTable) -> None:
    own.run("INSERT INTO jobs (id) VALUES (16), (17), (18)")
    own.write(event("17", 0))
    assert own.value("status") == "running"


@pytest.mark.parametrize(
    ("change", "back"),
    [
        ("DROP COLUMN finished_at", "ADD COLUMN finished_at timestamptz"),
        ("RENAME COLUMN finished_at TO ended_at", "RENAME COLUMN ended_at TO finished_at"),
        ("RENAME TO jobs_old", ""),
    ],
)
def test_a_mapped_column_that_is_gone_stops_and_loses_nothing(own: OwnTable, change: str, back: str) -> None:
    own.run(f"ALTER TABLE jobs {change}")
    done = event("17", 1, status="success")
    with pytest.raises(DeploymentError) as caught:
        own.write(done)
    assert caught.value.sqlstate in ("42703", "42P01", None)
    assert own.state("17") == "processing"
    own.run(f"ALTER TABLE jobs {back}" if back else "ALTER TABLE jobs_old RENAME TO jobs")
    own.first.connect()
    own.write(done)
    assert own.value("status") == "done"


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ("ALTER COLUMN status DROP DEFAULT, ALTER COLUMN status TYPE text", "done"),
        ("ALTER COLUMN status DROP DEFAULT, ALTER COLUMN status TYPE varchar(10)", "done"),
        ("ALTER COLUMN id TYPE numeric", "done"),
        ("ALTER COLUMN finished_at TYPE timestamp", "done"),
        ("ADD COLUMN tenant integer NOT NULL DEFAULT 1", "done"),
        ("DROP COLUMN payload", "done"),
    ],
)
def test_another_type_or_another_column_is_taken_up_by_itself(own: OwnTable, change: str, shown: str) -> None:
    own.run(f"ALTER TABLE jobs {change}")
    assert own.write(event("17", 1, status="success"), event("18", 2)).rejected == ()
    assert (own.value("status"), own.value("status", 18)) == (shown, "running")


def test_a_text_that_becomes_an_enum_is_taken_up_by_itself(own: OwnTable) -> None:
    own.run("CREATE TYPE reason AS ENUM ('full', 'broken')")
    own.run("ALTER TABLE jobs ALTER COLUMN error_message TYPE reason USING error_message::reason")
    refused = own.write(
        event("17", 1, status="error", error_message="full"), event("18", 2, status="error", error_message="other")
    ).rejected
    assert [item.raw.offset for item in refused] == [2]
    assert own.value("error_message") == "full"


def test_a_narrower_column_refuses_only_what_does_not_fit(own: OwnTable) -> None:
    own.run("ALTER TABLE jobs ALTER COLUMN error_message TYPE varchar(4)")
    refused = own.write(
        event("17", 1, status="error", error_message="full"), event("18", 2, status="error", error_message="longer")
    ).rejected
    assert [(item.raw.offset, item.sqlstate) for item in refused] == [(2, "22001")]
    assert own.value("error_message") == "full"


def test_a_table_that_is_locked_by_an_alter_is_waited_for_and_named(own: OwnTable) -> None:
    store = own.store(Limits(lock=0.2))
    done = event("17", 1, status="success")
    with own.another() as change:
        change.execute("ALTER TABLE jobs ADD COLUMN tenant integer")
        with pytest.raises(DatabaseAwayError) as caught:
            own.write(done, store=store)
        assert str(change.info.backend_pid) in str(caught.value)
    if not store.connected:
        store.connect()
    own.write(done, store=store)
    assert own.value("status") == "done"


def test_a_row_that_a_claim_has_locked_is_never_waited_for(own: OwnTable) -> None:
    with own.another() as claim:
        claim.execute("SELECT FROM jobs WHERE id = 17 FOR UPDATE")
        own.write(event("17", 1, status="success"), event("18", 2))
        assert (own.value("status", 18), own.waiting()) == ("running", {"17": "locked"})
        own.settle()
        assert (own.value("status"), own.waiting()) == ("running", {"17": "locked"})
    own.settle()
    assert (own.value("status"), own.waiting()) == ("done", {})


def test_a_row_that_a_foreign_key_points_at_is_not_locked(own: OwnTable) -> None:
    own.run("CREATE TABLE notes (job bigint REFERENCES jobs)")
    with own.another() as application:
        application.execute("INSERT INTO notes VALUES (17)")
        own.write(event("17", 1, status="success"))
        assert (own.value("status"), own.waiting()) == ("done", {})
