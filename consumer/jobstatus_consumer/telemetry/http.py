"""/metrics, /livez and /readyz over HTTP, which tell the truth: a poller with nobody writing is not alive."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from jobstatus_consumer.errors import SettingsError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

logger = logging.getLogger("jobstatus.health")

POLL_MUST_BE_YOUNGER = 60.0


@dataclass(frozen=True, slots=True)
class Health:
    """What a probe is told. `poll_age` in seconds; `waiting_for` is empty unless the writer waits."""

    writer_alive: bool
    poll_age: float
    waiting_for: str
    waiting_seconds: float
    assigned_partitions: int

    @property
    def live(self) -> bool:
        """False where only a restart helps; a database that is away is no reason for one."""
        return self.writer_alive and self.poll_age < POLL_MUST_BE_YOUNGER

    @property
    def ready(self) -> bool:
        """True where events are written as they come."""
        return self.live and not self.waiting_for


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        logger.debug(format, *args)


class HealthServer:
    """Answers on `address` (`host:port`) in a thread of its own until it is closed."""

    def __init__(self, address: str, registry: CollectorRegistry, health: Callable[[], Health]) -> None:
        host, _, port = address.rpartition(":")
        self._host = host
        metrics = make_wsgi_app(registry)

        def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "/")
            if path == "/metrics":
                found: Iterable[bytes] = metrics(environ, start)
                return found
            return _probe(path, health(), start)

        try:
            self._server: WSGIServer = make_server(host.strip("[]"), int(port), answer, handler_class=_Handler)
        except (OSError, OverflowError) as error:
            raise SettingsError(
                f"JOBSTATUS_HTTP_ADDRESS (--http-address): cannot listen on {address}: {error}; give another "
                "host:port, or off"
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="jobstatus-http", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on; with port 0 in the settings the system has chosen one."""
        return int(self._server.server_port)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self._host}:{self.port}"

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _probe(path: str, health: Health, start: StartResponse) -> Iterable[bytes]:
    good = {"/livez": health.live, "/readyz": health.ready}.get(path)
    if good is None:
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"there are /metrics, /livez and /readyz\n"]
    start("200 OK" if good else "503 Service Unavailable", [("Content-Type", "application/json")])
    return [json.dumps({"ok": good, **asdict(health)}).encode() + b"\n"]
