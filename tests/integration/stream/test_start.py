"""A consumer that starts while something that it needs does not answer."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from jobstatus_consumer.config import Settings, load_settings
from jobstatus_consumer.errors import BrokerAwayError
from jobstatus_consumer.kafka import Topics
from jobstatus_consumer.stream.readiness import wait_until_ready
from jobstatus_local.ports import LOOPBACK
from jobstatus_local.proxy import TcpProxy
from support.deployment import Deployment
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def starts(settings: Settings) -> None:
    """Return once a consumer could work. A question to the broker takes a second instead of half a minute."""
    wait_until_ready(settings, Topics(settings, patience=1.0), Event())


def test_a_start_waits_for_a_broker_as_it_waits_for_the_database(
    deployed: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    with TcpProxy(int(deployed.bootstrap.rpartition(":")[2])) as proxy, ThreadPoolExecutor(1) as pool:
        here = {**deployed.variables, "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{proxy.port}"}
        proxy.refuse()
        with pytest.raises(BrokerAwayError, match="no broker answers"):
            starts(load_settings({**here, "JOBSTATUS_WAIT_FOR_DATABASE": "0"}))
        with caplog.at_level(logging.WARNING, "jobstatus.consumer"):
            started = pool.submit(starts, load_settings({**here, "JOBSTATUS_WAIT_FOR_DATABASE": "90"}))
            try:
                until(lambda: "trying for 90 s" in caplog.text, "the start says that it waits")
            finally:
                proxy.heal()
        started.result(100)
        assert "no broker answers" in caplog.text
