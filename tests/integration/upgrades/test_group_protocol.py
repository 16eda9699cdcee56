"""The group's protocol is changed: what a broker refuses, and what is said then."""

from __future__ import annotations

import signal
import threading

import pytest
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.errors import BrokerError
from jobstatus_consumer.kafka.coordinator import GroupFacts
from jobstatus_consumer.kafka.topics import Topics
from jobstatus_consumer.stream.app import ConsumeOptions, consume
from support.deployment import Deployment
from support.inside import run_inside
from support.rolling import members, with_variables

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

CONSUMER = {"JOBSTATUS_KAFKA_GROUP_PROTOCOL": "consumer"}
BROKERS_OWN = {"JOBSTATUS_KAFKA_SESSION_TIMEOUT_MS", "JOBSTATUS_KAFKA_HEARTBEAT_INTERVAL_MS"}


class Blind(Topics):
    """Sees no members, as at a moment at which they join."""

    def group_facts(self, group: str) -> GroupFacts:
        return GroupFacts("EMPTY", ())


def test_a_consumer_that_running_members_keep_out_says_so_and_ends(deployed: Deployment) -> None:
    # a member sends the data that keep a broker from taking it over only after a rebalance
    running = members(deployed, 1) + members(deployed, 1)
    before = running[0].text().count("got partitions")
    running += members(deployed, 1)
    running[0].says("partitions", count=before + 1)
    deployed.without |= BROKERS_OWN
    said = (
        f"the group {deployed.group} has 3 members with group.protocol=classic and cooperative-sticky, "
        "which no member with group.protocol=consumer can join"
    )
    other = with_variables(deployed, CONSUMER)
    done = run_inside(other, "check", code=1)
    assert said in " ".join(done.stdout.split())
    assert "stop all its consumers, and start them again" in " ".join(done.stdout.split())
    done = run_inside(other, "consume", "--wait-for-database", "1", code=1)
    assert said in done.stderr
    # the broker's refusal is final, also where it was not seen before: the consumer ends, and does not wait unheard
    settings = load_settings(other.variables)
    end = threading.Timer(90, signal.raise_signal, [signal.SIGTERM])
    end.start()
    try:
        with pytest.raises(BrokerError, match="The group id does not exist"):
            consume(settings, ConsumeOptions(), topics=Blind(settings))
    finally:
        # it would end the process of all later tests
        end.cancel()
    for consumer in running:
        assert consumer.stop() == 0
    # all are stopped: now the protocol can be changed
    changed = other.consumer()
    changed.says("got partitions")
    assert changed.stop() == 0
