"""The role that docker-compose.yml gives the consumers can do their work, and owns nothing but their tables."""

from __future__ import annotations

import os
import subprocess

import psycopg
import pytest
from jobstatus_consumer.store import Store, check, migrate
from jobstatus_local import postgres_binaries
from law.events import batch, event
from support.docker_files import CONSUMERS_SQL

pytestmark = pytest.mark.postgres

PASSWORD = "it's a swordfish"
ROLE = "jobstatus_of_compose"


def test_the_consumers_role_makes_its_tables_and_owns_nothing_else(database_url: str) -> None:
    # the name jobstatus is taken here: it is the administrator of the tests' server
    script = CONSUMERS_SQL.replace("jobstatus", ROLE)
    program = postgres_binaries.packaged_install() / "bin" / "psql"
    psql = [str(program), "--no-psqlrc", "--set", "ON_ERROR_STOP=1", database_url]
    environ = {**os.environ, "CONSUMER_PASSWORD": PASSWORD}
    subprocess.run(psql, input=script, env=environ, text=True, check=True, capture_output=True, timeout=60)
    url = psycopg.conninfo.make_conninfo(database_url, user=ROLE, password=PASSWORD)
    with psycopg.connect(database_url, autocommit=True) as administrator:
        try:
            assert len(migrate(url, "jobs")) == 5
            assert check(url, "jobs") == []
            with Store(url, "jobs") as store:
                store.connect()
                assert store.write(batch([event()])).applied == 1
            owned = administrator.execute(
                "SELECT c.relname FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner"
                " WHERE r.rolname = %s AND c.relkind = 'r' ORDER BY 1",
                (ROLE,),
            )
            assert [name for (name,) in owned] == ["jobs", "jobs_audit", "jobs_progress", "jobs_purged"]
            rights = administrator.execute(
                "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, has_database_privilege(rolname,"
                " current_database(), 'CREATE') FROM pg_roles WHERE rolname = %s",
                (ROLE,),
            )
            assert rights.fetchall() == [(False,) * 5]
        finally:
            administrator.execute(f"DROP OWNED BY {ROLE}".encode())
            administrator.execute(f"DROP ROLE {ROLE}".encode())
