"""Consumers are restarted one by one under load: no event is late, none is lost, and none changes a row twice."""

from __future__ import annotations

import time

import pytest
from support.deployment import Deployment
from support.rolling import (
    WITHIN,
    hold_lateness,
    lateness,
    load,
    members,
    record,
    repeated_changes,
    replace,
    running,
    with_variables,
)

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

RANGE = {"JOBSTATUS_KAFKA_PARTITION_ASSIGNMENT_STRATEGY": "range"}
CONSUMER = {"JOBSTATUS_KAFKA_GROUP_PROTOCOL": "consumer"}
HEARTBEAT = 5.0
"""With KIP-848 a member hears of a change at its next heartbeat; this is the broker's default."""
BROKERS_OWN = {"JOBSTATUS_KAFKA_SESSION_TIMEOUT_MS", "JOBSTATUS_KAFKA_HEARTBEAT_INTERVAL_MS"}


def roll(deployed: Deployment, before: dict[str, str], after: dict[str, str]) -> None:
    """Three consumers under load, first undisturbed, then replaced one by one; heartbeats are as by default."""
    deployed.without |= BROKERS_OWN
    record(deployed)
    with load(deployed, rate=100) as found:
        consumers = members(with_variables(deployed, before), 3)
        quiet = running(4, found)
        start = time.time()
        replaced = replace(consumers, with_variables(deployed, after))
        end = running(3, found)[1]
    deployed.caught_up()
    alone, rolled = lateness(deployed, *quiet), lateness(deployed, start, end)
    deployed.assert_exact()
    assert sum(deployed.ends().values()) == found.sent
    assert repeated_changes(deployed) == []
    assert deployed.dead_letters() == []
    hold_lateness("rolling", alone, rolled, WITHIN + (HEARTBEAT if CONSUMER in (before, after) else 0))
    for consumer in replaced:
        assert consumer.stop() == 0


def test_a_rolling_restart_delays_no_event_and_loses_none(deployed: Deployment) -> None:
    roll(deployed, {}, {})


@pytest.mark.long
@pytest.mark.parametrize(
    ("before", "after"),
    [(CONSUMER, CONSUMER), (RANGE, CONSUMER), (CONSUMER, {})],
    ids=["consumer", "from range to consumer", "from consumer to classic"],
)
def test_a_rolling_change_of_the_group_protocol_delays_no_event(
    deployed: Deployment, before: dict[str, str], after: dict[str, str]
) -> None:
    roll(deployed, before, after)
