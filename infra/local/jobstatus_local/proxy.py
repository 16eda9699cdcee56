"""A TCP proxy that breaks the network on purpose, in front of a broker or a database.

    with LocalPostgres() as pg, TcpProxy(pg.port) as proxy:
        connection = psycopg.connect(proxy.through(pg.url))
        proxy.cut()         # every open connection is reset
        proxy.refuse()      # new ones are refused, as if the server were down
        proxy.deaf()        # nothing comes through and nothing is refused, as if the cable were unplugged
        proxy.delay(0.05)   # every byte arrives 50 ms later, each way
        proxy.delay(0, 0.1) # only what the server sends arrives later, by 100 ms
        proxy.heal()        # no fault; bytes that were held back by `deaf` go on

It runs in a thread of its own. Each call blocks until the fault is in force.
"""

from __future__ import annotations

import asyncio
import select
import selectors
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from jobstatus_local.errors import LocalServerError
from jobstatus_local.ports import LOOPBACK, PortLease

_CHUNK_BYTES = 65536
_CHUNKS_HELD = 64
_BACKLOG = 100
_FILES_OF_SELECT = 1024
_CALL_SECONDS = 10.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class TcpProxy:
    """Listens at 127.0.0.1:`port` in front of 127.0.0.1:`upstream_port`; a context manager.

    Attributes:
        port: where it listens; it stays the same after every fault.
        accepted: the number of connections accepted so far.
    """

    def __init__(self, upstream_port: int) -> None:
        """Reserve the port. The proxy listens from `start` on, or inside a `with`."""
        self.accepted = 0
        self._upstream_port = upstream_port
        self._lease = PortLease()
        self.port = self._lease.port
        self._delays = (0.0, 0.0)
        self._clients: set[asyncio.StreamWriter] = set()
        self._upstreams: set[asyncio.StreamWriter] = set()
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Event()
        self._ended = asyncio.Event()
        self._listens = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name=f"proxy-{self.port}", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        return LOOPBACK, self.port

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return sum(not writer.transport.is_closing() for writer in list(self._clients))

    def through(self, url: str) -> str:
        """The same URL, through this proxy."""
        parts = urlsplit(url)
        user = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user[0]}{user[1]}{LOOPBACK}:{self.port}"))

    def start(self) -> None:
        self._thread.start()
        if not self._listens.wait(_CALL_SECONDS):
            raise LocalServerError(f"the proxy does not listen on its port {self.port}")

    def close(self) -> None:
        """Reset every connection and end the thread. Idempotent."""
        if self._thread.is_alive():
            self._call(self._set(self._ended))
            self._thread.join(_CALL_SECONDS)
        self._lease.close()

    def cut(self) -> None:
        """Reset every open connection, on both sides. New ones are accepted as before."""
        self._call(self._cut())

    def refuse(self) -> None:
        """Refuse new connections. Open ones stay."""
        self._call(self._refuse())

    def deaf(self) -> None:
        """Let nothing through in either direction, not even the end of a connection, and refuse nothing."""
        self._call(self._clear(self._gate))

    def delay(self, seconds: float, back: float | None = None) -> None:
        """Delay every byte by so many seconds, each way, or by `back` seconds on its way to the client.

        The throughput stays. A delay takes a tenth of a millisecond more than asked.
        """
        self._delays = (seconds, seconds if back is None else back)

    def heal(self) -> None:
        """End every fault. Connections that are open and were not cut continue."""
        self._delays = (0.0, 0.0)
        self._call(self._heal())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            work.close()
            raise LocalServerError("this TcpProxy is not running: use it in a `with`, or call start()")
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_SECONDS)

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=_precise_loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._heal()
        self._listens.set()
        await self._ended.wait()
        await self._refuse()
        await self._end_connections()
        self._loop = None

    async def _end_connections(self) -> None:
        """Reset every connection, those too that were accepted a moment ago and have not begun."""
        self._gate.set()
        while self._tasks:
            await self._cut()
            await asyncio.wait(self._tasks, timeout=0.05)

    async def _heal(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server((LOOPBACK, self.port), backlog=_BACKLOG)
            self._listener.setblocking(False)
            asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)
        self._gate.set()

    async def _refuse(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def _cut(self) -> None:
        for writer in [*self._clients, *self._upstreams]:
            reset(writer)

    async def _set(self, event: asyncio.Event) -> None:
        event.set()

    async def _clear(self, event: asyncio.Event) -> None:
        event.clear()

    def _accept(self, listener: socket.socket) -> None:
        # not asyncio's own server: it leaks a connection that comes while it is closed
        with suppress(OSError):  # the client has gone
            client, _ = listener.accept()
            self.accepted += 1
            task = asyncio.get_running_loop().create_task(self._take(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _take(self, client: socket.socket) -> None:
        client.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=client)
        self._clients.add(writer)
        try:
            await self._gate.wait()
            with suppress(OSError):  # the server is down: the client is reset, below
                upstream = await asyncio.open_connection(LOOPBACK, self._upstream_port)
                await self._join((reader, writer), upstream)
        finally:
            self._clients.discard(writer)
            reset(writer)

    async def _join(self, client: Streams, upstream: Streams) -> None:
        self._upstreams.add(upstream[1])
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(client[0], upstream[1], 0))
                group.create_task(self._pump(upstream[0], client[1], 1))
        except* OSError:
            pass  # one side was reset; so is the other, by the caller
        finally:
            self._upstreams.discard(upstream[1])
            reset(upstream[1])

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: int) -> None:
        """Carry one direction to its end: 0 to the server, 1 back."""
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_HELD)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(reader, held, way))
            group.create_task(self._write(held, writer))

    async def _read(self, reader: asyncio.StreamReader, held: asyncio.Queue[tuple[float, bytes]], way: int) -> None:
        clock = asyncio.get_running_loop().time
        chunk = b"?"
        while chunk:
            await self._gate.wait()
            chunk = await reader.read(_CHUNK_BYTES)
            await held.put((clock() + self._delays[way], chunk))

    async def _write(self, held: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, chunk = await held.get()
            if (early := due - clock()) > 0:
                await asyncio.sleep(early)
            await self._gate.wait()
            if not chunk:
                writer.write_eof()
                return
            writer.write(chunk)
            await writer.drain()


class _PreciseSelector(selectors.DefaultSelector):
    """Waits to the microsecond. epoll alone counts in milliseconds, so each delay of many connections would be late."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # select has no room for higher numbers
        if timeout is not None and timeout > 0 and self.fileno() < _FILES_OF_SELECT:
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)


def _precise_loop() -> asyncio.AbstractEventLoop:
    return asyncio.SelectorEventLoop(_PreciseSelector())


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection at once with a TCP reset, as a crash or a firewall does."""
    sock = writer.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
