"""Creating, checking and counting the managed tables."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest
from jobstatus_consumer.errors import DatabaseAwayError, StartError
from jobstatus_consumer.store import Finished, PurgeTable, Store, check, check_purge, migrate, overview, remarks
from jobstatus_consumer.store.mark import own_mark
from law.events import NOON, batch, event
from psycopg.rows import TupleRow

Database = psycopg.Connection[TupleRow]


@pytest.fixture
def nothing(empty_url: str) -> Iterator[Database]:
    """A connection to an empty schema."""
    with psycopg.connect(empty_url, autocommit=True) as connection:
        yield connection


def tables(connection: Database) -> list[str]:
    found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1")
    return [name for (name,) in found]


def test_migrate_creates_the_tables_and_says_how(empty_url: str, nothing: Database) -> None:
    statements = migrate(empty_url, "jobs")
    assert [statement.split(" (")[0] for statement in statements] == [
        'CREATE TABLE "jobs"',
        'CREATE TABLE "jobs_progress"',
        'CREATE TABLE "jobs_purged"',
        'CREATE TABLE "jobs_audit"',
        f"COMMENT ON TABLE \"jobs_progress\" IS '{own_mark()}'",
    ]
    assert tables(nothing) == ["jobs", "jobs_audit", "jobs_progress", "jobs_purged"]
    options = nothing.execute("SELECT relname, reloptions FROM pg_class WHERE relname LIKE 'jobs%' AND relkind = 'r'")
    assert dict(options.fetchall()) == {
        "jobs": ["fillfactor=70"],
        "jobs_audit": ["fillfactor=70"],
        "jobs_progress": ["fillfactor=70"],
        "jobs_purged": ["fillfactor=100"],
    }


def test_a_dry_run_says_the_same_and_changes_nothing(empty_url: str, nothing: Database) -> None:
    statements = migrate(empty_url, "jobs", dry_run=True)
    assert tables(nothing) == []
    assert migrate(empty_url, "jobs") == statements


def test_a_dry_runs_sql_can_be_run_by_hand(empty_url: str, nothing: Database) -> None:
    for statement in migrate(empty_url, "jobs", dry_run=True):
        nothing.execute(statement.encode())
    assert migrate(empty_url, "jobs") == []
    assert check(empty_url, "jobs") == []


def test_twice_is_harmless(url: str, store: Store) -> None:
    store.write(batch([event()]))
    assert migrate(url, "jobs") == []
    assert overview(url, "jobs").rows == {"processing": 1}


def test_only_what_is_missing_is_created(url: str, database: Database) -> None:
    database.execute("DROP TABLE jobs_progress")
    statement, mark = migrate(url, "jobs")
    assert statement.startswith('CREATE TABLE "jobs_progress"')
    assert mark.startswith('COMMENT ON TABLE "jobs_progress"')


def test_a_table_of_an_earlier_version_gets_its_new_columns_and_keeps_its_rows(url: str, database: Database) -> None:
    database.execute("INSERT INTO jobs_progress (log_id, next_offset, updated_at) VALUES ('t/id/0', 7, now())")
    database.execute("ALTER TABLE jobs_progress DROP COLUMN leader_epoch, DROP COLUMN first_offset")
    (problem,) = check(url, "jobs")
    assert (problem.remedy, "lacks leader_epoch, first_offset" in problem.what) == ("jobstatus migrate", True)
    (statement,) = migrate(url, "jobs")
    assert statement.startswith('ALTER TABLE "jobs_progress"')
    assert (check(url, "jobs"), migrate(url, "jobs")) == ([], [])
    with Store(url, "jobs") as store:
        store.connect()
        assert store.topic_progress("t") == ({"t/id/0": 7}, {})


def test_many_at_once_create_it_once(empty_url: str) -> None:
    results: list[object] = []

    def run() -> None:
        try:
            results.append(len(migrate(empty_url, "jobs")))
        except BaseException as error:  # noqa: BLE001 - the test's own thread has to see it
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results, key=str) == [0, 0, 0, 0, 0, 5]


@pytest.mark.parametrize(
    ("existing", "said"),
    [
        ("CREATE TABLE jobs (id serial PRIMARY KEY, status text)", "column job_id is missing"),
        ("CREATE TABLE jobs (job_id integer PRIMARY KEY)", "column job_id is integer, not text"),
        ("CREATE VIEW jobs AS SELECT 1 AS job_id", "it is not a table"),
        ("CREATE SEQUENCE jobs", "it is not a table"),
        ("CREATE TABLE jobs_progress (percent integer)", "column next_offset is missing"),
    ],
)
def test_a_table_that_is_not_ours_is_refused_and_left_alone(
    empty_url: str, nothing: Database, existing: str, said: str
) -> None:
    nothing.execute(existing)
    before = tables(nothing)
    with pytest.raises(StartError, match=said):
        migrate(empty_url, "jobs")
    assert tables(nothing) == before
    assert any(said in problem.what for problem in check(empty_url, "jobs"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE jobs DROP COLUMN log_id", "column log_id is missing"),
        ("ALTER TABLE jobs ALTER attempt TYPE text", "column attempt is text, not integer"),
        ("ALTER TABLE jobs DROP CONSTRAINT jobs_pkey", "job_id is neither its primary key nor unique"),
        ("ALTER TABLE jobs ADD owner text NOT NULL", "column owner must be filled"),
    ],
)
def test_a_change_that_breaks_the_upsert_is_named(url: str, database: Database, change: str, said: str) -> None:
    database.execute(change)
    (problem,) = check(url, "jobs")
    assert said in problem.what


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE jobs ADD note text",
        "ALTER TABLE jobs ADD note text NOT NULL DEFAULT ''",
        "ALTER TABLE jobs ADD number bigint GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE jobs ADD double bigint GENERATED ALWAYS AS (log_offset * 2) STORED",
        "ALTER TABLE jobs ALTER status TYPE varchar(20)",
        "ALTER TABLE jobs ADD CHECK (status <> 'x')",
        "ALTER TABLE jobs DROP CONSTRAINT jobs_pkey, ADD UNIQUE (job_id)",
    ],
)
def test_a_change_that_breaks_nothing_is_left_to_its_owner(
    url: str, store: Store, database: Database, change: str
) -> None:
    database.execute(change)
    assert check(url, "jobs") == []
    assert migrate(url, "jobs") == []
    assert store.write(batch([event()])).applied == 1


def test_check_finds_nothing_where_all_is_well(url: str) -> None:
    assert check(url, "jobs") == []


def test_check_names_missing_tables_and_the_remedy(empty_url: str) -> None:
    assert [(problem.what, problem.remedy) for problem in check(empty_url, "jobs")] == [
        ("there is no table jobs", "jobstatus migrate"),
        ("there is no table jobs_progress", "jobstatus migrate"),
        ("there is no table jobs_purged", "jobstatus migrate"),
    ]


@pytest.fixture
def clerk(url: str, database: Database) -> Iterator[str]:
    """The URL of a role that may see the schema and nothing else."""
    (schema,) = database.execute("SELECT current_schema()").fetchone() or ("",)
    name = f"clerk_{schema}"
    database.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'swordfish-7'".encode())
    database.execute(f"GRANT USAGE ON SCHEMA {schema} TO {name}".encode())
    yield psycopg.conninfo.make_conninfo(url, user=name, password="swordfish-7")
    database.execute(f"DROP OWNED BY {name}".encode())
    database.execute(f"DROP ROLE {name}".encode())


def test_check_names_missing_privileges_and_the_grant_that_mends_it(clerk: str, database: Database) -> None:
    database.execute("GRANT SELECT ON jobs TO PUBLIC")
    first, second, third = check(clerk, "jobs")
    assert first.what.endswith("has no INSERT, UPDATE on jobs")
    assert second.what.endswith("has no SELECT, INSERT, UPDATE on jobs_progress")
    assert third.what.endswith("has no SELECT on jobs_purged")
    for problem in (first, second, third):
        database.execute(problem.remedy.encode())
    assert check(clerk, "jobs") == []
    store = Store(clerk, "jobs")
    store.connect()
    assert store.write(batch([event()])).applied == 1
    store.close()


def test_the_least_rights_of_a_purge_are_those_that_its_check_names(
    url: str, clerk: str, store: Store, database: Database
) -> None:
    store.write(batch([event(status="success")]))
    database.execute(
        "CREATE TABLE jobs_waiting (job_id text PRIMARY KEY, since timestamptz NOT NULL,"
        " next_try timestamptz NOT NULL, tries integer NOT NULL, reason text NOT NULL)"
    )
    database.execute("INSERT INTO jobs_waiting VALUES ('job-1', now(), now(), 0, 'no row')")
    assert len(check_purge(clerk, "jobs")) == 4
    for problem in check_purge(clerk, "jobs"):
        database.execute(problem.remedy.encode())
    assert check_purge(clerk, "jobs") == []
    finished = Finished(("success",), NOON * 2)
    with PurgeTable(clerk, "jobs") as table:
        assert table.finished(finished) == ["job-1"]
        assert table.purge(finished, ["job-1"]) == 1
        assert database.execute("SELECT * FROM jobs_waiting").fetchall() == []
        table.analyze()
        assert table.forget({}, NOON * 2, "") == (1, 1, "job-1")
        assert table.forget({}, NOON * 2, "job-1") == (0, 0, None)


def test_check_names_row_level_security_that_may_hide_rows(clerk: str, database: Database) -> None:
    database.execute("GRANT SELECT, INSERT, UPDATE ON jobs, jobs_progress TO PUBLIC")
    database.execute("GRANT SELECT ON jobs_purged TO PUBLIC")
    database.execute("ALTER TABLE jobs ENABLE ROW LEVEL SECURITY")
    database.execute("CREATE POLICY own ON jobs USING (worker_id = current_user)")
    (problem,) = check(clerk, "jobs")
    assert problem.what.startswith("row-level security may hide rows of jobs from the role clerk_")
    policy = problem.remedy.partition(", or ")[2]
    database.execute(policy.encode())
    assert check(clerk, "jobs") == []
    database.execute("CREATE POLICY never ON jobs AS RESTRICTIVE USING (status <> 'secret')")
    assert len(check(clerk, "jobs")) == 1
    assert len(check(clerk, "jobs", to_write=False)) == 1
    with Store(clerk, "jobs") as store:
        store.connect()
        database.execute("DROP POLICY never ON jobs")
        assert store.write(batch([event()])).applied == 1


def test_check_remarks_on_triggers_and_on_commits_that_wait_for_a_standby(url: str, database: Database) -> None:
    assert remarks(url, "jobs") == []
    database.execute("CREATE FUNCTION as_is() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$")
    for when in ("BEFORE INSERT ON jobs FOR EACH ROW", "AFTER INSERT ON jobs FOR EACH ROW", "BEFORE INSERT ON jobs"):
        name = when.split()[0].lower() + ("_row" if "ROW" in when else "")
        database.execute(f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION as_is()".encode())
    (trigger,) = remarks(url, "jobs")
    assert trigger.what == "the trigger before_row runs before each row of jobs"
    assert "27000" in trigger.remedy
    _, commits = remarks(f"{url}%20-csynchronous_commit%3Dremote_apply", "jobs")
    assert commits.what == "synchronous_commit is remote_apply"


@pytest.mark.parametrize(("theirs", "ours"), [("remote_apply", "remote_apply"), ("off", "on"), ("local", "on")])
def test_a_commit_never_waits_for_less_than_the_administrator_wants(url: str, theirs: str, ours: str) -> None:
    with Store(f"{url}%20-csynchronous_commit%3D{theirs}", "jobs") as store:
        store.connect()
        assert store.execute(b"SELECT current_setting('synchronous_commit')", {}) == [(ours,)]


def test_a_schema_that_may_not_be_used_is_a_problem_not_a_crash(clerk: str, database: Database) -> None:
    database.execute("CREATE SCHEMA IF NOT EXISTS closed")
    (problem,) = check(clerk, "closed.jobs")
    assert problem.what.endswith(" may not use the schema closed")
    assert problem.remedy.startswith('GRANT USAGE ON SCHEMA "closed" TO ')


def test_a_schema_that_is_not_there_is_named(empty_url: str) -> None:
    with pytest.raises(StartError, match=r"there is no schema nowhere .*\(CREATE SCHEMA nowhere\)"):
        migrate(empty_url, "nowhere.jobs")


def test_check_sees_that_writing_is_off(url: str) -> None:
    (problem,) = check(f"{url}%20-cdefault_transaction_read_only%3Don", "jobs")
    assert problem.what == "default_transaction_read_only is on for this role or database"


def test_check_sees_another_encoding(database_url: str, nothing: Database) -> None:
    nothing.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    try:
        url = psycopg.conninfo.make_conninfo(database_url, dbname="latin")
        migrate(url, "jobs")
        (problem,) = check(url, "jobs")
        assert problem.what.startswith("the database's encoding is LATIN1")
        store = Store(url, "jobs")
        store.connect()
        written = store.write(batch([event("jöb", 0), event("ключ", 1)]))
        assert (written.applied, [item.sqlstate for item in written.rejected]) == (1, ["22P05"])
        store.close()
    finally:
        nothing.execute("DROP DATABASE latin WITH (FORCE)")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"password": "swordfish-7"}, "password authentication failed"),
        ({"dbname": "nowhere", "options": ""}, 'database "nowhere" does not exist'),
        ({"port": "1"}, "refused"),
    ],
)
def test_what_cannot_be_reached_is_said_without_the_password(empty_url: str, parts: dict[str, str], said: str) -> None:
    url = psycopg.conninfo.make_conninfo(empty_url, **parts)
    secret = psycopg.conninfo.conninfo_to_dict(url)["password"]
    (problem,) = check(url, "jobs")
    assert said in problem.what
    for call in (migrate, overview):
        with pytest.raises(DatabaseAwayError, match=said) as caught:
            call(url, "jobs")
        assert str(secret) not in str(caught.value)
    assert str(secret) not in problem.what


def test_rows_are_counted_by_status(url: str, store: Store, database: Database) -> None:
    store.write(batch([event(f"job-{number}", number, status="success" if number else "error") for number in range(3)]))
    database.execute("INSERT INTO jobs (job_id) VALUES ('theirs')")
    assert overview(url, "jobs").rows == {"success": 2, "": 1, "error": 1}


def test_rows_of_no_table_is_an_error_with_its_name(empty_url: str) -> None:
    with pytest.raises(StartError, match="there is no table jobs; make it: jobstatus migrate"):
        overview(empty_url, "jobs")
