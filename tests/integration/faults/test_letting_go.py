"""Clients that are let go of close their sockets and end their threads at once.

What waits for Python's collector of cycles adds up in a process that stays: a console replaces its clients every few
seconds of an outage, and it collects seldom.
"""

from __future__ import annotations

import pytest
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.kafka import RangeReader, Topics
from support.console import running_console
from support.deployment import Deployment, made_events
from support.inside import run_inside
from support.open_files import assert_leaves_no_file

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def test_a_reader_of_the_log(deployed: Deployment) -> None:
    deployed.produce_events(made_events(20, 5))
    settings = load_settings(deployed.variables)

    def read() -> None:
        topics = Topics(settings)
        with RangeReader(settings, topics) as reader:
            ends = topics.watermarks(deployed.topic, reader.partitions)
            ranges = [(number, 0, found.high) for number, found in ends.items()]
            assert sum(map(len, reader.read(ranges, dict.fromkeys(ends, ""), lambda: False))) == 20

    assert_leaves_no_file(read)


@pytest.mark.parametrize("command", ["status", "verify", "check", "dlq list", "offsets show"])
def test_a_command(deployed: Deployment, command: str) -> None:
    deployed.produce_events(made_events(20, 5))
    deployed.drain()
    assert_leaves_no_file(lambda: run_inside(deployed, *command.split()), times=2)


def test_a_console(deployed: Deployment) -> None:
    def look() -> None:
        with running_console(deployed) as console:
            assert console.get("/api/overview").code == 200

    assert_leaves_no_file(look, times=2)
