"""The broker refuses dead letters, or there are too many of them: stop, and commit nothing behind them."""

from __future__ import annotations

import json

import pytest
from support.deployment import Deployment, made_events
from support.inside import run_inside
from support.topics import alter_topic

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def poison(count: int) -> list[tuple[str, bytes, tuple[()]]]:
    return [(f"job-{number}", b"no event at all", ()) for number in range(count)]


def test_a_dead_letter_that_the_broker_refuses_is_never_committed_past(deployed: Deployment) -> None:
    alter_topic(deployed.bootstrap, f"{deployed.topic}.dlq", "max.message.bytes", "200")
    deployed.produce_events(made_events(30, 30))
    deployed.produce([("job-1", b"x" * 400, ())])
    done = deployed.run("consume", "--until-caught-up", code=1)
    assert "max.message.bytes" in done.stderr
    assert "MSG_SIZE_TOO_LARGE" in done.stderr
    assert deployed.lag() > 0
    alter_topic(deployed.bootstrap, f"{deployed.topic}.dlq", "max.message.bytes", "2000000")
    assert deployed.drain()["dead_letters"] == 1
    assert deployed.lag() == 0


def test_a_missing_dead_letters_topic_is_said_at_the_start(deployed: Deployment) -> None:
    done = deployed.run("consume", "--dlq-topic", "not-there", code=1)
    assert "the topic not-there is not there" in done.stderr
    assert "jobstatus topics create" in done.stderr


def test_the_budget_stops_a_restart_goes_on_counting_and_a_person_clears_it(deployed: Deployment) -> None:
    deployed.produce(poison(500))
    limit = ("--dlq-budget-in-a-row", "200")
    done = deployed.run("consume", "--until-caught-up", *limit, code=1)
    assert "dead letters in a row; the limit is 200" in done.stderr
    assert "--clear-dlq-budget" in done.stderr
    committed = sum(deployed.committed().values())
    assert committed < 500
    sent = len(deployed.dead_letters())
    assert 200 <= sent < 300

    done = deployed.run("consume", "--until-caught-up", *limit, code=1)
    assert "An earlier start used the budget up" in done.stderr
    assert len(deployed.dead_letters()) == sent, "a restart drains nothing more"
    assert sum(deployed.committed().values()) == committed

    raised = deployed.drain("--dlq-budget-in-a-row", "5000")
    assert raised["dead_letters"] == 500 - committed
    assert deployed.lag() == 0
    deployed.produce(poison(100))
    assert deployed.drain("--clear-dlq-budget", *limit)["dead_letters"] == 100


@pytest.mark.parametrize("how", ["command", "flag"])
def test_clearing_the_budget_clears_it_in_every_partition(deployed: Deployment, how: str) -> None:
    limit = ("--dlq-budget-in-a-row", "200")
    deployed.produce(poison(300))
    assert deployed.drain("--dlq-budget-in-a-row", "5000")["dead_letters"] == 300
    before = deployed.committed()
    assert len(before) == deployed.partitions
    assert "used the budget up" in deployed.run("consume", "--until-caught-up", *limit, code=1).stderr
    if how == "command":
        done = run_inside(deployed, "dlq", "budget", "clear", "--json")
        assert json.loads(done.stdout)["partitions"] == list(range(deployed.partitions))
    else:
        # an event for one of the partitions alone
        deployed.produce_events(made_events(1, 1))
        deployed.drain("--clear-dlq-budget", *limit)
    assert sum(deployed.committed().values()) == sum(before.values()) + (how == "flag")
    deployed.produce(poison(100))
    assert deployed.drain(*limit)["dead_letters"] == 100
    assert json.loads(run_inside(deployed, "dlq", "budget", "clear", "--json").stdout)["partitions"]
    assert json.loads(run_inside(deployed, "dlq", "budget", "clear", "--json").stdout)["partitions"] == []


def test_the_budget_of_a_group_with_members_is_not_cleared_behind_their_back(deployed: Deployment) -> None:
    consumer = deployed.consumer()
    consumer.says("got partitions")
    refused = run_inside(deployed, "dlq", "budget", "clear", code=1)
    assert "Stop every consumer of the group first; nothing was changed" in refused.stderr
    assert consumer.stop() == 0
