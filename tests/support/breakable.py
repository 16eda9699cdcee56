"""A broker that a test may cut off or kill."""

from __future__ import annotations

from pathlib import Path

from jobstatus_local.kafka import LocalKafka
from jobstatus_local.proxy import TcpProxy
from support.shared_broker import NEVER_DELETES


class Breakable:
    """A broker that clients reach through `proxy` only."""

    def __init__(self) -> None:
        self._proxy: TcpProxy | None = None
        self.kafka = LocalKafka(advertised=self._advertise, properties=NEVER_DELETES)

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
