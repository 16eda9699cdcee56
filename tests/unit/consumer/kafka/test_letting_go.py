"""A client has sockets, pipes and threads. They end when it is let go of, and not when cycles are collected."""

from __future__ import annotations

import pytest
from jobstatus_consumer.config import load_settings
from jobstatus_consumer.errors import BrokerError
from jobstatus_consumer.kafka import Topics
from support.open_files import assert_leaves_no_file

NO_BROKER = load_settings({}, {"kafka": {"bootstrap.servers": "127.0.0.1:1"}})


def test_after_questions_that_no_broker_answered() -> None:
    def ask() -> None:
        with pytest.raises(BrokerError, match="no broker answers"):
            Topics(NO_BROKER, patience=0.2).reach(1.2)

    assert_leaves_no_file(ask)
