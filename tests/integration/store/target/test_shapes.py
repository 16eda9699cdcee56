"""Tables, views and names of all kinds."""

from __future__ import annotations

import pytest
from integration.store.target.conftest import MakeOwn
from law.events import event
from support.own_table import TARGET, OwnTable

PLAIN = 'table = "{0}"\n[key]\nid = "event.job_id"\n[set]\nstatus = "event.status"'
TWO = (event("17", 0), event("18", 1, status="success"))


def check(own: OwnTable, table: str = "jobs") -> None:
    """Both rows are written, and a third job waits."""
    assert own.write(*TWO, event("19", 2)).rejected == ()
    rows = own.run(f"SELECT id, status::text FROM {table} ORDER BY id")
    assert rows == [(17, "processing"), (18, "success")]
    assert own.waiting() == {"19": "no row"}


def test_a_partitioned_table(make_own: MakeOwn) -> None:
    own = make_own(
        "CREATE TABLE jobs (id bigint PRIMARY KEY, status text) PARTITION BY RANGE (id);"
        "CREATE TABLE jobs_1 PARTITION OF jobs FOR VALUES FROM (0) TO (18);"
        "CREATE TABLE jobs_2 PARTITION OF jobs DEFAULT;"
        "INSERT INTO jobs VALUES (17), (18)",
        PLAIN.format("jobs"),
    )
    check(own)


def test_a_status_that_is_a_number(make_own: MakeOwn) -> None:
    own = make_own(
        "CREATE TABLE jobs (id bigint PRIMARY KEY, status smallint NOT NULL DEFAULT 0, done boolean);"
        "INSERT INTO jobs VALUES (17), (18)",
        'table = "jobs"\n[key]\nid = "event.job_id"\n[set]\n'
        "status = \"CASE event.status WHEN 'processing' THEN 1 WHEN 'success' THEN 2 END\"\n"
        "done = \"event.status = 'success'\"",
    )
    (refused,) = own.write(*TWO, event("17", 2, status="paused")).rejected
    assert refused.sqlstate == "23502"
    assert own.run("SELECT id, status, done FROM jobs ORDER BY id") == [(17, 1, False), (18, 2, True)]


def test_a_view_that_hides_what_is_deleted(make_own: MakeOwn) -> None:
    own = make_own(
        "CREATE TABLE all_jobs (id bigint PRIMARY KEY, status text, deleted_at timestamptz);"
        "CREATE VIEW jobs AS SELECT id, status FROM all_jobs WHERE deleted_at IS NULL;"
        "INSERT INTO all_jobs VALUES (17), (18); INSERT INTO all_jobs VALUES (19, 'new', now())",
        PLAIN.format("jobs"),
    )
    check(own)
    own.run("UPDATE all_jobs SET deleted_at = NULL")
    own.settle()
    assert own.run("SELECT status FROM all_jobs WHERE id = 19") == [("processing",)]


@pytest.mark.parametrize("name", ["found", "event", "written", "projected", "keyed", "job", "waiting", '"My Jobs"'])
def test_a_table_with_the_name_of_a_part_of_our_statement(make_own: MakeOwn, name: str) -> None:
    ddl = f"CREATE TABLE {name} (id bigint PRIMARY KEY, status text); INSERT INTO {name} VALUES (17), (18)"
    check(make_own(ddl, PLAIN.format(name.replace('"', '\\"'))), name)


def test_columns_with_the_names_of_parts_of_our_statement(make_own: MakeOwn) -> None:
    own = make_own(
        'CREATE TABLE jobs (job_id bigint PRIMARY KEY, "Status" text, key_1 text, "a%b" text, "{c}" text);'
        "INSERT INTO jobs (job_id) VALUES (17)",
        'table = "jobs"\n[key]\njob_id = "event.job_id"\n[set]\n'
        'Status = "event.status"\nkey_1 = "event.worker_id"\n"a%b" = "\'%\'"\n"{c}" = "\'{}\'"',
    )
    own.write(event("17", 0))
    assert own.run("SELECT * FROM jobs") == [(17, "processing", "worker of 0", "%", "{}")]


def test_a_percent_sign_and_braces_in_an_expression(make_own: MakeOwn) -> None:
    text = "CASE WHEN event.error_message LIKE '%full%' THEN '100 % {full} %s %(x)s' ELSE ':x' END"
    own = make_own(target=TARGET.replace('"event.error_message"', f'"{text}"'))
    own.run("INSERT INTO jobs (id) VALUES (17), (18)")
    own.write(event("17", 0, error_message="disk full"), event("18", 1))
    assert own.value("error_message") == "100 % {full} %s %(x)s"
    assert own.value("error_message", 18) == ":x"


def test_a_table_in_another_schema(make_own: MakeOwn, empty_url: str) -> None:
    schema = empty_url.rsplit("%3D", 1)[1] + "_app"
    own = make_own(
        f"CREATE SCHEMA {schema}; CREATE TYPE {schema}.word AS ENUM ('processing', 'success');"
        f"CREATE TABLE {schema}.jobs (id bigint PRIMARY KEY, status {schema}.word);"
        f"INSERT INTO {schema}.jobs VALUES (17), (18)",
        PLAIN.format(f"{schema}.jobs"),
    )
    check(own, f"{schema}.jobs")
    own.run(f"DROP SCHEMA {schema} CASCADE")
