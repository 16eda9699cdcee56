"""One real Redis for the frameworks' tests, and a framework's folder for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jobstatus_local.kafka import LocalKafka
from support.framework import Framework
from support.redis_server import redis_server

MakeFramework = Callable[[str], Framework]


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def framework(kafka: LocalKafka, topic: str, redis_url: str, tmp_path: Path) -> MakeFramework:
    """`framework(module)`: with the text of its module of jobs."""

    def make(module: str) -> Framework:
        (tmp_path / "jobs.py").write_text(module)
        environ = {
            "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "JOBSTATUS_TOPIC": topic,
            "REDIS_URL": redis_url,
            "QUEUE": topic,
        }
        return Framework(tmp_path, kafka.bootstrap_servers, topic, environ)

    return make
