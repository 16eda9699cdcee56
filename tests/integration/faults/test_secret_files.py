"""A password that is replaced while a consumer runs: it logs in with the new one at its next connection."""

from __future__ import annotations

import re
import uuid

import psycopg
import pytest
from support.deployment import Deployment, made_events

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def test_a_replaced_password_is_read_at_the_next_connection(deployed: Deployment) -> None:
    role = f"rotated_{uuid.uuid4().hex[:8]}"
    file = deployed.folder / "url"

    def replaced(password: str) -> None:
        file.write_text(re.sub(r"//[^@]*@", f"//{role}:{password}@", deployed.database_url) + "\n")

    with psycopg.connect(deployed.database_url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'the-first'".encode())
        owner.execute(f"GRANT SELECT, INSERT, UPDATE ON jobs, jobs_progress TO {role}".encode())
        owner.execute(f"GRANT SELECT ON jobs_purged TO {role}".encode())
        replaced("the-first")
        deployed.without = {"JOBSTATUS_DATABASE_URL"}
        consumer = deployed.consumer(JOBSTATUS_DATABASE_URL_FILE=str(file))
        deployed.produce_events(made_events(60, 10))
        deployed.settled()
        owner.execute(f"ALTER ROLE {role} PASSWORD 'the-second'".encode())
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (role,))
        deployed.produce_events(made_events(60, 10, seed=2))
        consumer.says("waiting for the database")
        assert "the-first" not in consumer.text()
        replaced("the-second")
        deployed.settled()
        deployed.assert_exact()
        assert consumer.stop() == 0
        owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())
