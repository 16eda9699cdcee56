"""/metrics, /livez and /readyz over HTTP. A consumer that polls while nothing is written is not alive.

Each connection has a thread of its own and a time limit, and their number is limited: a client that sends nothing
keeps neither a probe nor the end of the process waiting.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from jobstatus_consumer.errors import SettingsError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger("jobstatus.health")

POLL_MUST_BE_YOUNGER: Final = 60.0
REQUEST_SECONDS: Final = 10.0
"""How long a connection may stay open, from its start to the end of the answer."""
CONNECTIONS: Final = 100
"""How many connections, and so threads, there may be at once."""
GRACE_SECONDS: Final = 0.25
"""How long a connection is left alone while `CONNECTIONS` others are open; then a new one takes its place."""
LOOK_EVERY: Final = 0.2
"""How often the server looks for connections over their time, and for a request to stop."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a probe reports; times are in seconds. `waiting_for` is empty unless the consumer waits.

    It waits for the database, for a broker, or for longer than a rebalance takes to be a member of the group. The lag
    is no part of being ready: a consumer that catches up must not fail a rolling update.
    """

    writer_alive: bool
    poll_age: float
    waiting_for: str
    waiting_seconds: float
    assigned_partitions: int
    lag_events: int = 0
    oldest_unwritten_seconds: float = 0.0

    @property
    def live(self) -> bool:
        """False if only a restart helps. It stays True while the database is unavailable: a restart would not help."""
        return self.writer_alive and self.poll_age < POLL_MUST_BE_YOUNGER

    @property
    def ready(self) -> bool:
        """True if events are written as they come."""
        return self.live and not self.waiting_for


class _Connections:
    """The open connections, the oldest first, and their limit. Safe to use from every thread."""

    def __init__(self) -> None:
        self._opened_at: dict[socket.socket, float] = {}
        self._changed = threading.Condition()

    def add(self, connection: socket.socket) -> None:
        """Add a connection; cut the oldest one for it if there are too many. Blocks for `GRACE_SECONDS` at most."""
        with self._changed:
            while len(self._opened_at) >= CONNECTIONS:
                oldest, opened_at = next(iter(self._opened_at.items()))
                left = opened_at + GRACE_SECONDS - time.monotonic()
                if left <= 0:
                    self._cut(oldest)
                else:
                    self._changed.wait(left)
            self._opened_at[connection] = time.monotonic()

    def remove(self, connection: socket.socket) -> None:
        """Forget a connection, before it is closed."""
        with self._changed:
            self._opened_at.pop(connection, None)
            self._changed.notify()

    def cut_older_than(self, seconds: float) -> None:
        """Cut every connection that was opened more than `seconds` ago."""
        with self._changed:
            limit = time.monotonic() - seconds
            for connection in [item for item, opened_at in self._opened_at.items() if opened_at <= limit]:
                self._cut(connection)

    def _cut(self, connection: socket.socket) -> None:
        # under the lock, so that its thread has not closed it yet; that thread wakes up, and then closes it
        del self._opened_at[connection]
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    # with the default of 5, further clients that connect at the same moment wait a second for their next try
    request_queue_size = 128

    def __init__(self, host: str, port: int, app: WSGIApplication, request_seconds: float) -> None:
        self.address_family = address_family(host)
        self._request_seconds = request_seconds
        self._connections = _Connections()
        super().__init__((host, port), _Handler)
        self.set_app(app)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.remove(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        self._connections.cut_older_than(self._request_seconds)

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("the connection of %s ended early", client_address, exc_info=sys.exception())

    def server_close(self) -> None:
        super().server_close()
        self._connections.cut_older_than(0)


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        logger.debug(format, *args)


def address_family(host: str) -> socket.AddressFamily:
    """Return IPv6 for an IPv6 address, and IPv4 for everything else, names too."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class HealthServer:
    """Answers on `address` (`host:port`, or `[IPv6 address]:port`) from threads of its own until it is closed.

    Raises `SettingsError` if it cannot listen there. `health` is called from these threads.
    """

    def __init__(
        self,
        address: str,
        registry: CollectorRegistry,
        health: Callable[[], Health],
        *,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._host, _, port = address.rpartition(":")
        app = _app(make_wsgi_app(registry), health)
        try:
            self._server = _Server(self._host.strip("[]"), int(port), app, request_seconds)
        except (OSError, OverflowError) as error:
            raise SettingsError(
                f"JOBSTATUS_HTTP_ADDRESS (--http-address): cannot listen on {address}: {error}; give another "
                "host:port, or off"
            ) from None
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(LOOK_EVERY,), name="jobstatus-http", daemon=True
        )
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
        """Stop answering and cut every connection. Blocks for less than a second."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _app(metrics: WSGIApplication, health: Callable[[], Health]) -> WSGIApplication:
    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        return metrics(environ, start) if path == "/metrics" else _probe(path, health(), start)

    return answer


def _probe(path: str, health: Health, start: StartResponse) -> Iterable[bytes]:
    good = {"/livez": health.live, "/readyz": health.ready}.get(path)
    if good is None:
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"there are /metrics, /livez and /readyz\n"]
    start("200 OK" if good else "503 Service Unavailable", [("Content-Type", "application/json")])
    return [json.dumps({"ok": good, **asdict(health)}).encode() + b"\n"]
