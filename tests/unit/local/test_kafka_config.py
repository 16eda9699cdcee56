from __future__ import annotations

from pathlib import Path

import pytest
from jobstatus_local.kafka_config import NodeAddress, server_properties

ONE = NodeAddress(1, 9001, 9002, 9003, ("127.0.0.1", 9001))
TWO = NodeAddress(2, 9004, 9005, 9006, ("127.0.0.1", 9004))
THREE = NodeAddress(3, 9007, 9008, 9009, ("proxy.test", 1234))


def parsed(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def test_one_broker_copies_nothing() -> None:
    properties = parsed(server_properties(ONE, [ONE], Path("/data"), {}))
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:9003"
    assert properties["log.dirs"] == "/data"
    assert properties["auto.create.topics.enable"] == "false"
    assert {value for name, value in properties.items() if "replication" in name or "isr" in name} == {"1"}


def test_three_brokers_keep_three_copies_and_want_two() -> None:
    properties = parsed(server_properties(TWO, [ONE, TWO, THREE], Path("/data"), {}))
    assert properties["node.id"] == "2"
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:9003,2@127.0.0.1:9006,3@127.0.0.1:9009"
    assert properties["default.replication.factor"] == "3"
    assert properties["min.insync.replicas"] == "2"
    assert properties["offsets.topic.replication.factor"] == "3"


def test_only_clients_are_sent_to_the_advertised_address() -> None:
    properties = parsed(server_properties(THREE, [THREE], Path("/data"), {}))
    assert properties["listeners"].startswith("CLIENT://127.0.0.1:9007,INTERNAL://127.0.0.1:9008")
    assert properties["advertised.listeners"] == "CLIENT://proxy.test:1234,INTERNAL://127.0.0.1:9008"


def test_the_callers_properties_win() -> None:
    extra = {"min.insync.replicas": "1", "message.max.bytes": "2048"}
    properties = parsed(server_properties(ONE, [ONE, TWO, THREE], Path("/data"), extra))
    assert properties["min.insync.replicas"] == "1"
    assert properties["message.max.bytes"] == "2048"


@pytest.mark.parametrize(
    ("value", "written"), [("a\\b", "a\\\\b"), ("two\nlines", "two\\nlines"), ("grün", "gr\\u00fcn")]
)
def test_values_are_escaped_as_java_reads_them(value: str, written: str) -> None:
    assert parsed(server_properties(ONE, [ONE], Path("/data"), {"x": value}))["x"] == written
