"""`jobstatus check`: rights on the broker, a used-up budget, and an address that cannot be served."""

from __future__ import annotations

import json
import socket
import time

import pytest
from confluent_kafka.admin import AclOperation, AdminClient, ResourceType
from jobstatus_local.ports import PortLease
from support.deployment import Deployment, made_events
from support.inside import run_inside
from support.topics import only_allowed

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def problems(deployed: Deployment, *arguments: str, code: int = 1, **environ: str) -> list[dict[str, str]]:
    done = run_inside(deployed, "check", "--json", *arguments, code=code, **environ)
    found: list[dict[str, str]] = json.loads(done.stdout)["problems"]
    return found


def test_rights_that_the_broker_does_not_give_are_named(deployed: Deployment, admin: AdminClient) -> None:
    assert problems(deployed, code=0) == []
    letters = f"{deployed.topic}.dlq"
    only_allowed(admin, ResourceType.TOPIC, deployed.topic, AclOperation.WRITE)
    only_allowed(admin, ResourceType.TOPIC, letters, AclOperation.READ)
    only_allowed(admin, ResourceType.GROUP, deployed.group, AclOperation.DESCRIBE)
    found = problems(deployed)
    assert [item["what"] for item in found] == [
        f"this client has no right READ, DESCRIBE_CONFIGS on the topic {deployed.topic}",
        f"this client has no right WRITE, DESCRIBE_CONFIGS on the topic {letters}",
        f"this client has no right READ on the group {deployed.group}",
    ]
    assert found[1]["remedy"].endswith(f"--operation Write --operation DescribeConfigs --topic {letters}")


def test_a_used_up_budget_and_an_address_that_cannot_be_served_are_named(deployed: Deployment) -> None:
    deployed.produce([("job", b"rubbish", ())] * 3)
    budget = ("--dlq-budget-in-a-row", "3")
    run_inside(deployed, "consume", "--until-caught-up", *budget, code=1)
    (found,) = problems(deployed, *budget)
    assert found["what"] == "the budget of dead letters is used up: 3 dead letters in a row; the limit is 3"
    (found,) = problems(deployed, "--http-address", "192.0.2.1:80")
    assert "cannot be served at 192.0.2.1:80" in found["what"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (found,) = problems(deployed, JOBSTATUS_HTTP_ADDRESS=f"127.0.0.1:{taken.getsockname()[1]}")
        assert "Address already in use" in found["what"]


def test_beside_a_running_consumer_neither_check_nor_a_short_run_fails_for_the_port(deployed: Deployment) -> None:
    with PortLease() as free:
        address = f"127.0.0.1:{free.port}"
        consumer = deployed.consumer(JOBSTATUS_HTTP_ADDRESS=address)
        consumer.says("metrics and health on")
        assert problems(deployed, code=0, JOBSTATUS_HTTP_ADDRESS=address) == []
        deployed.produce_events(made_events(20, 5))
        done = run_inside(deployed, "consume", "--until-caught-up", JOBSTATUS_HTTP_ADDRESS=address)
        assert "no metrics and health: " in done.stderr
        deployed.settled()
        assert consumer.stop() == 0


def test_a_named_replay_without_a_right_on_its_group_says_so_at_once(deployed: Deployment, admin: AdminClient) -> None:
    deployed.produce_events(made_events(20, 5))
    group = f"{deployed.group}.replay.night"
    started = time.monotonic()
    for user, arguments in (("nobody", ["--dry-run"]), ("ANONYMOUS", ["--yes"])):
        only_allowed(admin, ResourceType.GROUP, group, AclOperation.DESCRIBE, user)
        done = run_inside(deployed, "replay", "--name", "night", *arguments, code=1)
        assert f"this client has no right READ on the group {group}" in done.stderr
        assert f"kafka-acls.sh --add --allow-principal User:... --operation Read --group {group}" in done.stderr
    assert time.monotonic() - started < 40, "and not when all tries of both are over: a minute"


def test_what_is_unusual_is_remarked_on_and_is_no_problem(deployed: Deployment) -> None:
    deployed.query("CREATE FUNCTION as_is() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$")
    deployed.query("CREATE TRIGGER checked BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION as_is()")
    shown = run_inside(deployed, "check").stdout
    assert "all is ready" in shown
    assert "to know:\n  - the trigger checked runs before each row of jobs\n" in shown
    (remark,) = json.loads(run_inside(deployed, "check", "--json").stdout)["remarks"]
    assert "27000" in remark["remedy"]
