"""The logger says each thing once in a while, and how often it held its tongue."""

from __future__ import annotations

import logging

import pytest
from jobstatus_producer.log import Throttle


def test_a_line_of_one_kind_is_logged_once_in_its_time_and_then_with_the_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [100.0]
    throttle = Throttle(10.0, lambda: now[0])
    for _ in range(4):
        throttle.log(logging.WARNING, "away", "the broker is away: %s", "refused")
    throttle.log(logging.WARNING, "other", "something else")
    now[0] += 10
    throttle.log(logging.WARNING, "away", "the broker is away: %s", "refused")
    assert [record.getMessage() for record in caplog.records] == [
        "the broker is away: refused",
        "something else",
        "the broker is away: refused (3 more like it since the last such line)",
    ]
    assert {record.name for record in caplog.records} == {"jobstatus.producer"}


def line(facility: str, text: str) -> logging.LogRecord:
    """As the client hands it to `logging`."""
    return logging.makeLogRecord({"msg": "%s [%s] %s", "args": (facility, "jobstatus-producer#producer-1", text)})


def test_the_clients_lines_are_filtered_by_their_first_word() -> None:
    now = [0.0]
    throttle = Throttle(10.0, lambda: now[0])
    lines = [line("FAIL", "a"), line("FAIL", "b"), line("GETPID", "z")]
    assert [throttle.filter(line) for line in lines] == [True, False, True]
    now[0] = 10.0
    assert throttle.filter(lines[0])
    assert not throttle.filter(line("OTHER", "Broker: Coordinator load in progress: retrying\n"))
    assert not throttle.filter(line("OTHER", "Local: Broker handle destroyed without termination: retrying\n"))
