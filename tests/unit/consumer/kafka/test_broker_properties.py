"""Asking a broker for its properties before any broker is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.errors import BrokerError
from jobstatus_consumer.kafka import Topics


class NoBrokers:
    """A client whose metadata lists no broker."""

    def list_topics(self, timeout: float) -> Any:
        return SimpleNamespace(brokers={}, timeout=timeout)

    def poll(self, _seconds: float) -> None:
        """No error to report."""


def test_metadata_without_a_broker_are_no_answer() -> None:
    settings = load_settings({"JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": "nowhere:1"})
    client: Any = NoBrokers()
    with pytest.raises(BrokerError, match="asking for a broker's properties"):
        Topics(settings, patience=0.0, make_client=lambda _: client).broker_properties("num.partitions")
