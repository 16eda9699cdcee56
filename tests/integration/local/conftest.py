from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator

import pytest
from jobstatus_local import server
from jobstatus_local.kafka import LocalKafka
from jobstatus_local.ports import PortLease
from jobstatus_local.proxy import TcpProxy


class ProxiedKafka:
    """A broker that tests may break. Clients reach it only through `proxy`."""

    def __init__(self) -> None:
        self.proxy: TcpProxy | None = None
        self.kafka = LocalKafka(advertised=self.advertise, properties={"message.max.bytes": "2000"})

    def advertise(self, node_id: int, port: int) -> tuple[str, int]:
        self.proxy = TcpProxy(port)
        self.proxy.start()
        return self.proxy.address


@pytest.fixture(scope="module")
def breakable() -> Iterator[tuple[LocalKafka, TcpProxy]]:
    """A broker that a test may kill, behind a proxy. Every test leaves both as it found them."""
    proxied = ProxiedKafka()
    with proxied.kafka:
        assert proxied.proxy is not None
        yield proxied.kafka, proxied.proxy
        proxied.proxy.close()


@pytest.fixture
def port_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Another server listens on the first port that is leased. The list holds all ports that were leased."""
    thief = socketserver.ThreadingTCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler)
    threading.Thread(target=thief.serve_forever, args=(0.01,), daemon=True).start()
    asked: list[int] = []

    class Lease(PortLease):
        def __init__(self) -> None:
            super().__init__()
            if not asked:
                self.port = thief.server_address[1]
            asked.append(self.port)

    monkeypatch.setattr(server, "PortLease", Lease)
    yield asked
    thief.shutdown()
    thief.server_close()
