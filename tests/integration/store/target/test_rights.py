"""A consumer whose role has the rights that it needs and no other, and rows that its role may not see."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from jobstatus_consumer.errors import DeploymentError
from jobstatus_consumer.store import ProjectingStore, check, target_remarks
from law.events import event
from support.own_table import STATE, TARGET, OwnTable

LEAST = {
    "SELECT (id, status, started_at)": "jobs",
    "UPDATE (status, error_message, started_at, finished_at, updated_at)": "jobs",
}
OURS = {
    "SELECT, INSERT, UPDATE": f"{STATE}, {STATE}_progress, {STATE}_waiting",
    "DELETE": f"{STATE}_waiting",
    "SELECT": f"{STATE}_purged",
}


@pytest.fixture
def role(own: OwnTable) -> Iterator[str]:
    """A role with the least rights on our tables and on the application's."""
    ((schema,),) = own.run("SELECT current_schema()")
    name = f"consumer_of_{schema}"
    own.run(f"CREATE ROLE {name} LOGIN PASSWORD 'swordfish-7'")
    own.run(f"GRANT USAGE ON SCHEMA {schema} TO {name}")
    for right, tables in {**OURS, **LEAST}.items():
        own.run(f"GRANT {right} ON {tables} TO {name}")
    yield name
    own.run(f"DROP OWNED BY {name}")
    own.run(f"DROP ROLE {name}")


@pytest.fixture
def url(own: OwnTable, role: str) -> str:
    return re.sub(r"//[^@]*@", f"//{role}:swordfish-7@", own.url)


@pytest.fixture
def store(own: OwnTable, url: str) -> Iterator[ProjectingStore]:
    with ProjectingStore(url, STATE, own.target) as store:
        own.run("INSERT INTO jobs (id) VALUES (17), (18)")
        yield store


def connect_and_write(own: OwnTable, store: ProjectingStore) -> None:
    store.connect()
    own.write(event("17", 0), event("19", 1), store=store)


def test_the_least_rights_are_enough(own: OwnTable, store: ProjectingStore, url: str) -> None:
    assert check(url, STATE, target=own.target) == []
    store.connect()
    own.write(event("17", 0), event("18", 1, status="success"), event("19", 2), store=store)
    own.run("INSERT INTO jobs (id) VALUES (19)")
    own.settle(store)
    assert own.run("SELECT status::text FROM jobs ORDER BY id") == [("running",), ("done",), ("running",)]


@pytest.mark.parametrize(
    ("right", "table"),
    [
        ("SELECT (status)", "jobs"),
        ("SELECT (id)", "jobs"),
        ("UPDATE (finished_at)", "jobs"),
        ("UPDATE", "jobs"),
        ("INSERT", f"{STATE}_waiting"),
        ("DELETE", f"{STATE}_waiting"),
        ("USAGE", "SCHEMA"),
    ],
)
def test_each_right_is_needed_and_named(
    own: OwnTable, store: ProjectingStore, url: str, role: str, right: str, table: str
) -> None:
    ((schema,),) = own.run("SELECT current_schema()")
    own.run(f"REVOKE {right} ON {'SCHEMA ' + str(schema) if table == 'SCHEMA' else table} FROM {role}")
    problems = check(url, STATE, target=own.target)
    assert problems
    if table != "SCHEMA":
        word = right.split()[0]
        remedies = [found.remedy for found in problems]
        assert any("GRANT " in text and word in text and table in text for text in remedies), problems
    with pytest.raises(DeploymentError):
        connect_and_write(own, store)
    assert own.state("17") is None


def test_a_row_that_a_policy_hides_is_no_row_and_the_check_warns(
    own: OwnTable, store: ProjectingStore, url: str, role: str
) -> None:
    own.run("ALTER TABLE jobs ENABLE ROW LEVEL SECURITY")
    own.run(f"CREATE POLICY only_some ON jobs TO {role} USING (id <> 18)")
    assert any("row-level security" in found.what for found in target_remarks(url, STATE, own.target))
    assert check(url, STATE, target=own.target) == []
    store.connect()
    own.write(event("17", 0), event("18", 1), store=store)
    assert (own.value("status"), own.waiting()) == ("running", {"18": "no row"})
    own.run(f"ALTER POLICY only_some ON jobs TO {role} USING (true)")
    assert not any("row-level security" in found.what for found in target_remarks(url, STATE, own.target))
    own.settle(store)
    assert (own.value("status", 18), own.waiting()) == ("running", {})


def test_insert_needs_the_right_to_insert_the_mapped_columns(own: OwnTable, url: str, role: str) -> None:
    own.file.write_text(f'missing = "insert"\n{TARGET}', "utf-8")
    target = own.target.read(str(own.file))
    assert any("GRANT" in found.remedy and "INSERT" in found.remedy for found in check(url, STATE, target=target))
    own.run(f"GRANT INSERT (id, status, error_message, started_at, finished_at, updated_at) ON jobs TO {role}")
    # the row that is made there has no old values, and these are read from all columns' defaults
    assert check(url, STATE, target=target) == []
    with ProjectingStore(url, STATE, target) as store:
        store.connect()
        own.write(event("17", 0), store=store)
    assert own.value("status") == "running"
