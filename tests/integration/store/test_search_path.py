"""Another role of the same database cannot have its own operator or function run by our statements."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from jobstatus_consumer.errors import DeploymentError, StartError
from jobstatus_consumer.store import Row, RowRepair, Store, Table, check, migrate, new_table, overview
from jobstatus_consumer.store.listing import JobFilter, JobList, JobPlace
from law.events import LOG_A, batch, event
from psycopg.rows import TupleRow

Database = psycopg.Connection[TupleRow]
TRAPS = """
CREATE TABLE public.loot (who text, what text);
GRANT ALL ON public.loot TO PUBLIC;
CREATE FUNCTION public.trap(bigint, interval) RETURNS interval LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  INSERT INTO public.loot
    SELECT current_user, 'superuser=' || (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
  RETURN $1::float8 OPERATOR(pg_catalog.*) $2;
END $$;
CREATE OPERATOR public.* (LEFTARG = bigint, RIGHTARG = interval, FUNCTION = public.trap);
CREATE FUNCTION public.set_config(unknown text, value text, local text) RETURNS text LANGUAGE sql AS
  $$ INSERT INTO public.loot VALUES (current_user, 'set_config') RETURNING 'x' $$;
"""
"""PostgreSQL has no exact "bigint * interval", so this operator is chosen wherever the search_path reaches public."""


@pytest.fixture
def owner(database_url: str) -> Iterator[Database]:
    """The administrator of a database in which everybody may create in public, the default before PostgreSQL 15."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
        yield connection


@pytest.fixture
def trapped(owner: Database, database_url: str) -> Iterator[str]:
    """The URL of a database in which a role with no rights but those has set its traps."""
    name = f"thief_{owner.info.dbname}"
    owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'swordfish-7'".encode())
    url = psycopg.conninfo.make_conninfo(database_url, user=name, password="swordfish-7")
    with psycopg.connect(url, autocommit=True) as thief:
        thief.execute(TRAPS.encode())
    yield database_url
    owner.execute(f"DROP OWNED BY {name} CASCADE".encode())
    owner.execute(f"DROP ROLE {name}".encode())


def test_the_list_of_jobs_finds_a_table_beside_which_another_role_may_create(
    owner: Database, database_url: str
) -> None:
    migrate(database_url, "jobs")
    with Store(database_url, "jobs") as store:
        store.connect()
        store.write(batch([event(time=1)]))
    for wanted in (JobFilter(), JobFilter(status="processing")):
        with JobList(database_url, "jobs") as jobs:
            assert [job.job_id for job in jobs.by_id(wanted, JobPlace(), 10, 1.0).jobs] == ["job-1"]
    with JobList(database_url, "jobs") as jobs:
        assert [job.job_id for job in jobs.newest(JobFilter(), JobPlace(), 10).jobs] == ["job-1"]


def test_an_operator_of_another_role_is_never_run_with_our_rights(trapped: str, owner: Database) -> None:
    (before,) = owner.execute("SELECT 1::bigint * interval '1 s'").fetchone() or ("",)
    assert str(before) == "0:00:01"
    assert owner.execute("DELETE FROM loot").rowcount == 1, "the trap works"
    migrate(trapped, "jobs")
    assert check(trapped, "jobs") == []
    with Store(trapped, "jobs") as store:
        store.connect()
        assert store.write(batch([event(time=1)])).applied == 1
        assert store.topic_progress(LOG_A.split("/", 1)[0]).offsets == {LOG_A: 1}
    with Table(trapped, "jobs") as table:
        (row,) = table.rows(["job-1"]).values()
        assert [position.too_late for position in table.positions(0)] == [True]
        assert table.differing({"job-1": row}) == {}
        repair = RowRepair("job-1", row, LOG_A, 0, keep_attempt=True, keep_latest=True)
        assert table.repair_rows([repair]) == {"job-1"}
    with new_table(trapped, "rebuilt") as new:
        new.copy([("job-1", Row())])
    assert overview(trapped, "jobs").rows == {"processing": 1}
    assert owner.execute("SELECT * FROM loot").fetchall() == []


@pytest.mark.parametrize("name", ["jobs", "ours.jobs"])
def test_the_table_is_found_where_the_roles_search_path_has_it(owner: Database, database_url: str, name: str) -> None:
    owner.execute("CREATE SCHEMA ours")
    path = f"{database_url}?options=-csearch_path%3Dnowhere,ours,public" if name == "jobs" else database_url
    migrate(path, name)
    with Store(path, name) as store:
        for offset in range(2):  # a new session of its own, as after an error
            store.connect()
            store.write(batch([event(offset=offset)]))
    assert owner.execute("SELECT log_offset FROM ours.jobs").fetchall() == [(1,)]
    assert owner.execute("SELECT next_offset FROM ours.jobs_progress").fetchall() == [(2,)]
    assert owner.execute("SELECT to_regclass('public.jobs')").fetchone() == (None,)


@pytest.fixture
def hardened(owner: Database, database_url: str) -> Iterator[str]:
    """The URL of a role that has a schema of its name, in a database whose schema public nobody else may use."""
    name = f"app_{owner.info.dbname}"
    owner.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'swordfish-7'".encode())
    owner.execute(f"CREATE SCHEMA {name} AUTHORIZATION {name}".encode())
    yield psycopg.conninfo.make_conninfo(database_url, user=name, password="swordfish-7")
    owner.execute(f"DROP OWNED BY {name} CASCADE".encode())
    owner.execute(f"DROP ROLE {name}".encode())


def test_a_closed_schema_beside_an_open_one_keeps_nobody_from_making_the_tables(hardened: str, owner: Database) -> None:
    role = f"app_{owner.info.dbname}"
    remedy = f'jobstatus migrate; or, if it is in the schema public: GRANT USAGE ON SCHEMA "public" TO "{role}"'
    what = f"there is no table jobs in a schema that the role {role} may use"
    assert [(found.what, found.remedy) for found in check(hardened, "jobs")] == [(what, remedy)]
    with pytest.raises(StartError) as caught:
        overview(hardened, "jobs")
    assert str(caught.value) == f"{what} ({remedy})"
    migrate(hardened, "jobs")
    assert check(hardened, "jobs") == []
    assert overview(hardened, "jobs").rows == {}
    assert owner.execute(f"SELECT to_regclass('{role}.jobs') IS NOT NULL".encode()).fetchone() == (True,)


def test_a_closed_schema_is_named_where_no_other_one_can_take_the_tables(hardened: str, owner: Database) -> None:
    role = f"app_{owner.info.dbname}"
    owner.execute(f"REVOKE CREATE ON SCHEMA {role} FROM {role}".encode())
    refusal = rf'the role {role} may not use the schema public \(GRANT USAGE ON SCHEMA "public" TO "{role}"\)'
    with pytest.raises(StartError, match=refusal):
        migrate(hardened, "jobs")
    owner.execute(f"DROP SCHEMA {role}".encode())
    assert [found.what for found in check(hardened, "jobs")] == [f"the role {role} may not use the schema public"]


def test_a_session_that_a_pooler_hands_over_again_finds_the_table_too(owner: Database, database_url: str) -> None:
    """The pooler does not reset it, so it still has the search_path that we set."""
    migrate(database_url, "jobs")
    with psycopg.connect(database_url, autocommit=True) as pooled:
        pooled.execute("SET search_path = pg_catalog, pg_temp")
        with Store("unused", "jobs", opener=lambda _url, _limits: pooled) as store:
            store.connect()
            assert store.topic_progress("job-status").offsets == {}


def noting(database: Database) -> None:
    database.execute("CREATE TABLE audit (job text)")
    database.execute(
        "CREATE FUNCTION noting() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO audit VALUES (new.job_id); RETURN new; END $$"
    )
    database.execute("CREATE TRIGGER noting AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION noting()")


def test_a_trigger_finds_its_own_names_where_no_other_role_may_create(store: Store, database: Database) -> None:
    noting(database)
    assert store.write(batch([event()])).applied == 1
    assert database.execute("SELECT job FROM audit").fetchall() == [("job-1",)]


def test_a_trigger_that_relies_on_the_callers_search_path_stops_with_the_remedy(
    owner: Database, database_url: str
) -> None:
    migrate(database_url, "jobs")
    noting(owner)
    with Store(database_url, "jobs") as store:
        store.connect()
        with pytest.raises(DeploymentError, match=r"ALTER FUNCTION .* SET search_path"):
            store.write(batch([event()]))
        owner.execute("ALTER FUNCTION noting() SET search_path = public")
        assert store.write(batch([event()])).applied == 1
    assert owner.execute("SELECT job FROM audit").fetchall() == [("job-1",)]
