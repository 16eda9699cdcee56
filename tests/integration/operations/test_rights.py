"""What only looks needs no more than SELECT; what writes says which rights are missing, before it changes anything."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest
from support.deployment import Deployment, made_events
from support.inside import run_inside

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

LOOKS = (
    ["verify"],
    ["history", "job-1"],
    ["offsets", "show"],
    ["offsets", "reset", "--to", "beginning", "--dry-run"],
    ["dlq", "list"],
    ["dlq", "redrive", "--dry-run"],
    ["dlq", "purge", "--before", "1h ago", "--dry-run"],
    ["replay", "--dry-run"],
    ["status"],
)
WRITES = (
    ["verify", "--repair"],
    ["offsets", "reset", "--to", "beginning", "--yes"],
    ["dlq", "redrive", "--yes"],
    ["replay", "--yes"],
)


@pytest.fixture
def role(deployed: Deployment) -> Iterator[str]:
    """A role that may log in and no more."""
    name = "reader_" + deployed.topic[-10:].replace("-", "_")
    deployed.query(f"CREATE ROLE {name} LOGIN PASSWORD 'swordfish-7'")
    yield name
    deployed.query(f"DROP OWNED BY {name}")
    deployed.query(f"DROP ROLE {name}")


def as_role(deployed: Deployment, role: str, *arguments: str, code: int) -> str:
    return run_as_role(deployed, role, *arguments, code=code).stderr


def run_as_role(deployed: Deployment, role: str, *arguments: str, code: int) -> subprocess.CompletedProcess[str]:
    url = re.sub(r"//[^@]*@", f"//{role}:swordfish-7@", deployed.database_url)
    return run_inside(deployed, *arguments, code=code, JOBSTATUS_DATABASE_URL=url)


def test_a_read_only_role_may_look_and_not_write(deployed: Deployment, role: str) -> None:
    deployed.produce_events(made_events(60, 6))
    deployed.drain()
    rows, committed = deployed.rows(), deployed.committed()
    deployed.query(f"GRANT SELECT ON jobs, jobs_progress, jobs_purged TO {role}")
    deployed.query(f"ALTER ROLE {role} SET default_transaction_read_only = on")
    for arguments in LOOKS:
        assert "GRANT" not in as_role(deployed, role, *arguments, code=0)
    for arguments in WRITES:
        refused = as_role(deployed, role, *arguments, code=1)
        assert f"the role {role} has no INSERT, UPDATE on jobs " in refused
        assert "default_transaction_read_only is on" in refused
        assert "Nothing was changed" in refused
    assert (deployed.rows(), deployed.committed()) == (rows, committed)


def test_a_role_that_may_not_look_is_told_which_right_is_missing(deployed: Deployment, role: str) -> None:
    deployed.produce_events(made_events(6, 6))
    deployed.drain()
    for arguments in LOOKS:
        if arguments != ["status"]:
            refused = as_role(deployed, role, *arguments, code=1)
            assert f'GRANT SELECT ON "jobs_progress" TO "{role}"' in refused, arguments


@pytest.mark.parametrize(
    ("into", "why"),
    [
        (
            "beside",
            "the role {role} may not make tables in the schema public (GRANT CREATE ON SCHEMA public TO {role})",
        ),
        ("nowhere.beside", "there is no schema nowhere to make nowhere.beside in (CREATE SCHEMA nowhere)"),
    ],
)
def test_a_plan_of_a_new_table_says_what_keeps_it_from_being_made(
    deployed: Deployment, role: str, into: str, why: str
) -> None:
    deployed.produce_events(made_events(60, 6))
    deployed.query(f"GRANT SELECT ON jobs, jobs_progress, jobs_purged TO {role}")
    deployed.query("REVOKE CREATE ON SCHEMA public FROM public")
    arguments = ["replay", "--into", into]
    planned = run_as_role(deployed, role, *arguments, "--dry-run", code=0)
    assert why.format(role=role) in planned.stderr
    assert "would be made, with" in planned.stdout
    refused = as_role(deployed, role, *arguments, "--yes", code=1)
    assert refused == f"jobstatus: {why.format(role=role)}. Nothing was changed\n"
