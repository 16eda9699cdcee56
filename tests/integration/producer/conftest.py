"""What the producer's tests share: its environment, and a broker behind a proxy that a test may cut off or kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from integration.producer import scripts
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.proxy import TcpProxy

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


class Breakable:
    """A broker that clients reach through `proxy` only."""

    def __init__(self) -> None:
        self._proxy: TcpProxy | None = None
        self.kafka = LocalKafka(advertised=self._advertise)

    @property
    def proxy(self) -> TcpProxy:
        assert self._proxy is not None
        return self._proxy

    def _advertise(self, _node_id: int, port: int) -> tuple[str, int]:
        self._proxy = TcpProxy(port)
        self._proxy.start()
        return self._proxy.address

    def environ(self, topic: str, spool: Path | None = None, **more: object) -> dict[str, str]:
        variables = {f"JOBSTATUS_{name}": str(value) for name, value in more.items()}
        if spool is not None:
            variables["JOBSTATUS_SPOOL_DIR"] = str(spool)
        return {
            "JOBSTATUS_KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "JOBSTATUS_TOPIC": topic,
            **variables,
        }


@pytest.fixture(scope="session")
def breakable_broker() -> Iterator[Breakable]:
    found = Breakable()
    with found.kafka:
        yield found
        found.proxy.close()


@pytest.fixture
def breakable(breakable_broker: Breakable) -> Iterator[Breakable]:
    """Every test leaves it whole."""
    yield breakable_broker
    breakable_broker.proxy.heal()
    breakable_broker.kafka.nodes[0].start()
