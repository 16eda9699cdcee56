"""Where the servers come from, and which of the user's settings reach the demo's children."""

from __future__ import annotations

import pytest
from jobstatus_demo.errors import DemoError
from jobstatus_demo.plan import Plan
from jobstatus_demo.servers import Servers, servers
from jobstatus_local.errors import LocalServerError

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


@pytest.mark.parametrize(
    "url",
    ["postgresql://jobs:s3cret%@h/jobs", "postgresql://jobs:x@s3cret@h/jobs", "postgresql://jobs:s3cret@h:x/jobs"],
)
def test_a_malformed_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(DemoError, match="JOBSTATUS_DATABASE_URL is malformed, so the demo did not run") as caught:
        Servers("b:1", url, "local", "yours").environment(PLAN, USERS)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("missing", ["Kafka", "PostgreSQL"])
def test_a_server_that_does_not_start_ends_the_demo_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    class Broken:
        def __init__(self, **_: object) -> None:
            pass

        def start(self) -> None:
            raise LocalServerError("no space left")

        __enter__ = start

        def close(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            pass

    name, setting = (
        ("LocalKafka", "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS")
        if missing == "Kafka"
        else ("LocalPostgres", "JOBSTATUS_DATABASE_URL")
    )
    given = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "b:1", "JOBSTATUS_DATABASE_URL": "postgresql://db"}
    del given[setting]
    monkeypatch.setattr(f"jobstatus_demo.servers.{name}", Broken)
    with pytest.raises(DemoError) as caught, servers(lambda _: None, given):
        pytest.fail("it must not get here")
    assert f"the demo needs a real {missing} and could not get one, so it did not run: no space left" in str(
        caught.value
    )
    assert f"{setting}=" in str(caught.value)


def test_servers_that_are_given_are_used() -> None:
    given = {"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "b:1", "JOBSTATUS_DATABASE_URL": "postgresql://db"}
    with servers(lambda _: None, given) as there:
        assert there == Servers("b:1", "postgresql://db", "yours", "yours")
