"""What the producer's tests share: its environment, and an end for every worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from integration.producer import scripts
from jobstatus_local.kafka import LocalKafka

Environ = Callable[..., dict[str, str]]


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Iterator[None]:
    yield
    scripts.kill_what_is_left()


@pytest.fixture
def environ(kafka: LocalKafka) -> Environ:
    """The environment of a producer on the shared broker: `environ(topic, SPOOL_DIR=..., ...)`."""

    def make(topic: str, **more: object) -> dict[str, str]:
        variables = {f"JOBSTATUS_{name}": str(value) for name, value in more.items()}
        return {
            "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "JOBSTATUS_TOPIC": topic,
            **variables,
        }

    return make
