"""The server: bounded connections, an end within three seconds, and the settings read into the parts."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Any, Final

import uvicorn
from jobstatus_reader import JobStatusReader
from uvicorn.protocols.http.h11_impl import H11Protocol

from jobstatus_consumer.config import Settings
from jobstatus_consumer.console.access import Access
from jobstatus_consumer.console.app import make_app
from jobstatus_consumer.console.context import Context, Options
from jobstatus_consumer.console.doing import Actions
from jobstatus_consumer.console.live import Live
from jobstatus_consumer.console.questions import Questions
from jobstatus_consumer.console.sources import Sources
from jobstatus_consumer.errors import SettingsError
from jobstatus_consumer.interpreter import long_running

logger = logging.getLogger("jobstatus.console")

CONNECTIONS: Final = 1500
"""Connections at once; beyond that the answer is 503."""
FILES: Final = CONNECTIONS + 500
REQUEST_SECONDS: Final = 10.0
"""How long a new connection may take for its first request."""
UNTAKEN_SECONDS: Final = 20.0
GRACE_SECONDS: Final = 2
"""How long answers may go on after a request to stop."""
JOIN_SECONDS: Final = 0.5
"""How long the end waits for the watches, each of which may be waiting for an answer."""
LOOK_EVERY: Final = 0.1


class _Protocol(H11Protocol):
    """A connection that is closed if it asks nothing: uvicorn itself waits for a request without a limit."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # a client that takes no byte of its answer for so long is gone
        line = transport.get_extra_info("socket")
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNTAKEN_SECONDS * 1000))
        self._silence = self.loop.call_later(REQUEST_SECONDS, self._close_if_silent)

    def data_received(self, data: bytes) -> None:
        before = self._request
        super().data_received(data)
        if self._request is not before:
            self._silence.cancel()
        elif (before is None or before.response_complete) and self._silence.cancelled():
            # a piece of the next request: uvicorn waits for its rest without a limit
            self._silence = self.loop.call_later(REQUEST_SECONDS, self._close_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        self._silence.cancel()
        super().connection_lost(exc)

    @property
    def _request(self) -> Any:
        """The newest request. uvicorn's annotation leaves out that there is none before the first one."""
        return getattr(self, "cycle", None)

    def _close_if_silent(self) -> None:
        self.transport.close()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to the command: uvicorn would raise them again at its end."""
        yield


class ConsoleServer:
    """A console that listens from its construction on, and answers while `run` runs.

    Raises `SettingsError` if it cannot listen, or if others could ask without a log-in.
    """

    def __init__(self, settings: Settings, options: Options = Options()) -> None:  # noqa: B008 - it is frozen
        self._access = Access.of(settings)
        self._settings = settings
        self._options = options
        self._stop = Event()
        _allow_files()
        self._socket = _listening(settings.console_address, self._access)
        self.port = int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """Where it answers."""
        host = f"[{self._access.host}]" if ":" in self._access.host else self._access.host
        return f"http://{host}:{self.port}"

    def stop(self) -> None:
        """Have `run` end. For any thread, and for a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Answer until `stop` is called, and for `GRACE_SECONDS` longer where answers are being sent. Blocks."""
        with long_running():
            asyncio.run(self._serve())

    async def _serve(self) -> None:
        sources = Sources(self._settings)
        live = Live(self._settings, sources, self._options.verify_every)
        reader = JobStatusReader(self._settings.database, self._settings.table)
        actions = Actions(self._settings, sources.coordinator)
        context = Context(self._settings, self._access, self._options, live, Questions(), sources, reader, actions)
        server = _Server(
            uvicorn.Config(
                make_app(context),
                http=_Protocol,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=CONNECTIONS,
                timeout_keep_alive=15,
                timeout_graceful_shutdown=GRACE_SECONDS,
                h11_max_incomplete_event_size=32_768,
            )
        )
        # it logs what our own log says better: a client that has gone, an answer that was not finished
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        watcher = asyncio.create_task(self._end_with(server, live, [sources.coordinator.close, reader.close]))
        await server.serve([self._socket])
        await watcher
        actions.close()
        live.join(JOIN_SECONDS)

    async def _end_with(self, server: uvicorn.Server, live: Live, ends: Sequence[Callable[[], object]]) -> None:
        while not self._stop.is_set():
            await asyncio.sleep(LOOK_EVERY)
        live.close()
        for end in ends:
            # it ends every wait; a database or a process that does not answer may hold it up
            threading.Thread(target=end, name="jobstatus-console-end", daemon=True).start()
        server.should_exit = True


def serve(server: ConsoleServer, stop: Event) -> None:
    """Run the server in a thread until `stop` is set. Blocks; signal handlers run meanwhile."""
    thread = threading.Thread(target=server.run, name="jobstatus-console", daemon=True)
    thread.start()
    while thread.is_alive() and not stop.is_set():
        stop.wait(0.2)
    server.stop()
    thread.join(GRACE_SECONDS + 0.8)


def _allow_files() -> None:
    """Each connection is a file, and the usual limit of a process is 1,024."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _listening(address: str, access: Access) -> socket.socket:
    family = socket.AF_INET6 if ":" in access.host else socket.AF_INET
    try:
        return socket.create_server((access.host, access.port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        raise SettingsError(
            f"JOBSTATUS_CONSOLE_ADDRESS (--console-address): cannot listen on {address}: {error}; give another "
            "host:port"
        ) from None
