"""`jobstatus target sql` and `migrate --dry-run`: the statements of a target, and the rights that they need."""

from __future__ import annotations

import psycopg
import pytest
from integration.store.target.conftest import MakeOwn
from jobstatus_consumer.store import ProjectingStore
from law.events import batch, event
from support.own_table import JOBS, STATE, TARGET, OwnTable
from support.target_commands import command, document

pytestmark = pytest.mark.postgres

UNUSUAL = """
CREATE TABLE "Found %" (
  "The Id" bigint PRIMARY KEY, status text, "rate %" text, jobs text
)
"""
UNUSUAL_TARGET = """
table = '"Found %"'
missing = "MISSING"
[key]
"The Id" = "event.job_id"
[set]
status = '''CASE WHEN event.status LIKE '%r%' THEN event.status -- a comment
END'''
"rate %" = "'%s' || coalesce(job.jobs, '')"
"""


@pytest.mark.parametrize("missing", ["wait", "insert", "ignore"])
def test_postgresql_takes_the_statements_as_they_are_printed(make_own: MakeOwn, missing: str) -> None:
    own = make_own(UNUSUAL, UNUSUAL_TARGET.replace("MISSING", missing))
    own.run(command(own, "target", "sql").stdout.partition("-- the rights")[0])
    found = own.run("SELECT name, parameter_types::text FROM pg_prepared_statements ORDER BY name")
    assert [name for name, _ in found] == ["jobstatus_settle", "jobstatus_write"]
    assert found[0][1] == "{json}"
    assert found[1][1].count("jsonb") == 1
    own.run("EXECUTE jobstatus_settle ('[]')")


def test_the_printed_grants_are_enough_for_a_consumer_and_every_command(own: OwnTable) -> None:
    schema = own.run("SELECT current_schema")[0][0]
    name = f"consumer_of_{schema}"
    own.run(f"CREATE ROLE {name} LOGIN PASSWORD 'swordfish-7'")
    url = psycopg.conninfo.make_conninfo(own.url, user=name, password="swordfish-7")
    try:
        grants = document(own, "target", "sql", "--role", name)["grants"]
        mapped = '"status", "error_message", "started_at", "finished_at", "updated_at"'
        assert grants[-1].startswith(f'GRANT SELECT ("id", {mapped}), UPDATE ({mapped}) ON ')
        own.run(";".join(grants))
        own.run("INSERT INTO jobs (id) VALUES (17)")
        with ProjectingStore(url, STATE, own.target) as store:
            store.connect()
            assert store.write(batch([event("17", 0), event("18", 1)])).projected == (1, 0, 1, 0, 0, 0)
            own.run("INSERT INTO jobs (id) VALUES (18)")
            assert store.settle().arrived == 1
        own.run("UPDATE jobs SET status = 'new'")
        assert document(own, "target", "sync", JOBSTATUS_DATABASE_URL=url)["parked"] == 2
    finally:
        own.run(f"DROP OWNED BY {name}")
        own.run(f"DROP ROLE {name}")


def test_migrate_shows_the_grants_before_it_has_made_a_table(own: OwnTable) -> None:
    own.run(f"DROP TABLE {STATE}, {STATE}_progress, {STATE}_purged, {STATE}_waiting")
    found = document(own, "migrate", "--dry-run", "--role", "app user")
    assert len(found["statements"]) == 5
    assert found["grants"] == document(own, "migrate", "--dry-run", "--role", "app user")["grants"]
    printed = command(own, "migrate", "--dry-run", "--role", "app user").stdout
    assert "-- the rights of the consumer's role; migrate does not grant them\n" in printed
    assert printed.endswith(found["grants"][-1] + ";\n")
    assert found["grants"][-1].endswith('."jobs" TO "app user"')
    assert "grants" not in document(own, "migrate", "--dry-run", JOBSTATUS_TARGET="")
    assert own.run(f"SELECT to_regclass('{STATE}')") == [(None,)]


def test_a_file_that_inserts_needs_the_right_to_insert_the_key_too(make_own: MakeOwn) -> None:
    own = make_own(JOBS, 'missing = "insert"\n' + TARGET)
    last = document(own, "target", "sql")["grants"][-1]
    assert 'INSERT ("id", "status", "error_message", "started_at", "finished_at", "updated_at")' in last


def test_a_file_that_does_not_fit_is_named(own: OwnTable) -> None:
    own.file.write_text(TARGET + 'lost = "1"\n')
    failed = command(own, "target", "sql", code=1)
    assert "set.lost: jobs has no column lost" in failed.stderr
