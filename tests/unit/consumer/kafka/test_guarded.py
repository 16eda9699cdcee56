"""The child process that asks a group's coordinator, where it cannot be started at all."""

from __future__ import annotations

import sys

import pytest
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.errors import CoordinatorAwayError
from jobstatus_consumer.kafka import GuardedCoordinator


def test_a_child_that_cannot_be_started_is_tried_again_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the limit of processes is reached, which the interpreter that is not there stands for."""
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")
    with GuardedCoordinator(load_settings({"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "localhost:1"})) as coordinator:
        for reason in (r"cannot be started \(No such file or directory\)", "is started again in"):
            with pytest.raises(CoordinatorAwayError, match=reason):
                coordinator.describe("group", "topic", rights=False, heard=lambda _error: None)
        assert coordinator.pid is None
