"""What the demo's children are told, and what of the user's own settings reaches them."""

from __future__ import annotations

from jobstatus_demo.plan import Plan
from jobstatus_demo.servers import Servers, servers

PLAN = Plan(run_id="42")
USERS = {
    "PATH": "/bin",
    "JOBSTATUS_TABLE": "jobs",
    "JOBSTATUS_BATCH_MAX_EVENTS": "7",
    "JOBSTATUS_KAFKA_SECURITY_PROTOCOL": "SSL",
    "JOBSTATUS_LOCAL_CACHE": "/cache",
}


def test_the_demo_never_uses_the_users_names() -> None:
    env = Servers("b:1", "postgresql://db", "yours", "yours").environment(PLAN, USERS)
    names = {env[f"JOBSTATUS_{name}"] for name in ("TOPIC", "GROUP_ID", "TABLE")}
    assert names == {"jobstatus-demo-42", "jobstatus_demo_42"}
    assert "JOBSTATUS_BATCH_MAX_EVENTS" not in env


def test_what_belongs_to_the_users_broker_is_kept_for_it_alone() -> None:
    name = "JOBSTATUS_KAFKA_SECURITY_PROTOCOL"
    assert name in Servers("b:1", "postgresql://db", "yours", "local").environment(PLAN, USERS)
    assert name not in Servers("b:1", "postgresql://db", "local", "yours").environment(PLAN, USERS)


def test_the_cache_and_the_rest_of_the_environment_are_kept() -> None:
    env = Servers("b:1", "postgresql://db", "local", "local").environment(PLAN, USERS)
    assert (env["PATH"], env["JOBSTATUS_LOCAL_CACHE"]) == ("/bin", "/cache")


def test_servers_that_are_given_are_used() -> None:
    given = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "b:1", "JOBSTATUS_DATABASE_URL": "postgresql://db"}
    with servers(lambda _: None, given) as there:
        assert there == Servers("b:1", "postgresql://db", "yours", "yours")
