"""A member of every kind that the library offers can be made with what we give it."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Consumer
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.kafka.client import consumer_properties, make
from jobstatus_consumer.kafka.member_properties import member_defaults


@pytest.mark.parametrize(
    ("given", "strategy"),
    [
        ({}, "cooperative-sticky"),
        ({"PARTITION_ASSIGNMENT_STRATEGY": "range"}, "range"),
        ({"GROUP_PROTOCOL": "consumer"}, None),
        ({"GROUP_PROTOCOL": "consumer", "GROUP_REMOTE_ASSIGNOR": "uniform"}, None),
    ],
)
def test_each_protocol_makes_a_member(given: dict[str, str], strategy: str | None) -> None:
    environ = {f"JOBSTATUS_KAFKA_{name}": value for name, value in given.items()}
    settings = load_settings({"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", **environ})
    properties: dict[str, Any] = consumer_properties(settings, member_defaults(settings.kafka))
    assert properties.get("partition.assignment.strategy") == strategy
    make(Consumer, {**properties, "group.id": "g", "log_level": 0}).close()
