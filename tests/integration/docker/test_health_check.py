"""The health checks of docker-compose.yml and of the image, run against a real consumer."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.postgres import LocalPostgres
from jobstatus_local.proxy import TcpProxy
from support.deployment import deployment, made_events
from support.docker_files import HEALTH_CHECKS, at_port

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


def results(port: int) -> dict[str, bool]:
    """Whether each health check calls the consumer healthy."""
    codes = {kind: subprocess.run(at_port(kind, port), capture_output=True, timeout=30) for kind in HEALTH_CHECKS}
    return {kind: done.returncode == 0 for kind, done in codes.items()}


def test_a_consumer_is_healthy_while_it_waits_for_its_database_and_not_once_it_is_gone(
    kafka: LocalKafka, postgres: LocalPostgres, database_url: str, tmp_path: Path
) -> None:
    with (
        TcpProxy(postgres.port) as proxy,
        deployment(kafka.bootstrap_servers, proxy.through(database_url), tmp_path) as deployed,
    ):
        consumer = deployed.consumer(JOBSTATUS_HTTP_ADDRESS="127.0.0.1:0")
        found = re.search(r"metrics and health on http://\S+:(\d+)", consumer.text())
        assert found is not None
        port = int(found[1])
        assert results(port) == {"compose": True, "image": True}
        proxy.refuse()
        proxy.cut()
        deployed.produce_events(made_events(10, 5))
        consumer.says("waiting for the database")
        assert results(port) == {"compose": True, "image": True}
        consumer.kill()
        assert results(port) == {"compose": False, "image": False}
