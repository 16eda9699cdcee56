"""What a drain loses while a thousand programs wait for jobs at a console and a hundred pages are open.

The console is a process of its own, as in a deployment. The waits are for jobs of the backlog and for a status that
never comes, so all of them last for the whole drain. Rounds with and without them alternate.
"""

from __future__ import annotations

import asyncio
import re
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import psutil
import psycopg
from rich.table import Table

from .place import CHECKOUT, Place
from .tables import plain_table
from .targets import Target

WAITERS: Final = 1000
STREAMS: Final = 100
BATCH: Final = 500
LOSS: Final = 0.05
START_SECONDS: Final = 60.0
FILES: Final = 4096
TAKEN_IN: Final = 0.2
"""Of a core; the console uses less while its clients only wait."""


class Waits(NamedTuple):
    """Events a second of each round, and the most connections of the console's reader at once."""

    alone: Sequence[float]
    beside: Sequence[float]
    connections: int
    waiting: int
    console_cpu: float
    """of the console's process, in cores, while the last drain ran"""
    server_cpu: float
    """of the session that looks for all waiters, in cores"""

    @property
    def loss(self) -> float:
        """The part of its speed that the drain loses; each round has its own, since a machine's speed drifts."""
        return 1 - statistics.median(beside / alone for alone, beside in zip(self.alone, self.beside, strict=True))


class Crowd:
    """A console and its clients; `begin` and `end` are called around one drain."""

    def __init__(self, place: Place, topic: str) -> None:
        self._place = place
        self._topic = topic
        self._stop = threading.Event()
        self.connections = 0
        self.waiting = 0
        self.cpu = (0.0, 0.0)

    def begin(self, url: str) -> None:
        """Start the console, connect every client, and see that all of them wait."""
        self._stop.clear()
        environ = {**self._place.environment(self._topic, BATCH, url), "JOBSTATUS_CONSOLE_ADDRESS": "127.0.0.1:0"}
        command = [sys.executable, "-c", "from jobstatus_consumer.cli.main import main; main()", "console"]
        self._console = subprocess.Popen(command, env=environ, cwd=CHECKOUT, stderr=subprocess.PIPE, text=True)
        address = _address(self._console)
        self._clients = threading.Thread(target=lambda: asyncio.run(self._connect(*address)))
        self._clients.start()
        self._counting = threading.Thread(target=self._count, args=(url,))
        self._counting.start()
        deadline = time.monotonic() + START_SECONDS
        while self.waiting < WAITERS + STREAMS and time.monotonic() < deadline:
            time.sleep(0.1)
        self._until_they_wait(deadline)
        self._began = time.monotonic(), self._used(url)

    def _until_they_wait(self, deadline: float) -> None:
        """Every request is sent; the console has taken them all in once it does little more."""
        busy = 1.0
        while busy > TAKEN_IN and time.monotonic() < deadline:
            before = _cpu(self._console.pid)
            time.sleep(1)
            busy = _cpu(self._console.pid) - before

    def end(self, url: str) -> None:
        """Note what the console took of the machine, and stop it and the clients."""
        seconds, before = time.monotonic() - self._began[0], self._began[1]
        console, server = (after - used for after, used in zip(self._used(url), before, strict=True))
        self.cpu = console / seconds, server / seconds
        self._stop.set()
        self._clients.join()
        self._counting.join()
        self._console.terminate()
        self._console.communicate(timeout=30)

    def _used(self, url: str) -> tuple[float, float]:
        """The CPU seconds of the console and of its reader's session."""
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'jobstatus-reader'"
        with psycopg.connect(url) as connection:
            sessions = [pid for (pid,) in connection.execute(query)]
        return _cpu(self._console.pid), sum(map(_cpu, sessions))

    async def _connect(self, host: str, port: int) -> None:
        waits = [f"/api/jobs/job-{number:06d}?wait=never&timeout=300" for number in range(WAITERS)]
        paths = [*waits, *["/stream/overview"] * STREAMS]
        tasks = [asyncio.create_task(self._ask(host, port, path)) for path in paths]
        while not self._stop.is_set():
            await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, host: str, port: int, path: str) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            await writer.drain()
            self.waiting += 1
            while await reader.read(65_536):
                pass
        finally:
            writer.close()

    def _count(self, url: str) -> None:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jobstatus-reader'"
        with psycopg.connect(url, autocommit=True) as connection:
            while not self._stop.wait(0.5):
                ((found,),) = connection.execute(query).fetchall()
                self.connections = max(self.connections, found)


def measure(place: Place, topic: str, events: int, rounds: int, say: Callable[[str], object]) -> Waits:
    """Alternate the rounds; the topic is filled already."""
    _allow_files()
    alone: list[float] = []
    beside: list[float] = []
    crowd = Crowd(place, topic)
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        alone.append(place.run("ours", topic, events, BATCH).run.events_per_second)
        crowd.waiting = 0
        found = place.run("ours", topic, events, BATCH, prepare=crowd.begin, look=crowd.end)
        beside.append(found.run.events_per_second)
    return Waits(alone, beside, crowd.connections, crowd.waiting, *crowd.cpu)


def _cpu(pid: int) -> float:
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


def _allow_files() -> None:
    """A client is a file of this process; the usual limit is 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def table(found: Waits) -> Table:
    """The rounds side by side."""
    shown = plain_table("a drain", ["round"], ["alone, events/s", f"beside {WAITERS:,} waiters and {STREAMS} streams"])
    for number, (alone, beside) in enumerate(zip(found.alone, found.beside, strict=True), 1):
        shown.add_row(str(number), f"{alone:,.0f}", f"{beside:,.0f}")
    return shown


def targets(found: Waits) -> list[Target]:
    """What the issue wants of it."""
    clients = WAITERS + STREAMS
    return [
        Target("the drain loses", f"{found.loss:.1%}", f"under {LOSS:.0%}", found.loss < LOSS),
        Target("the console takes of a core", f"{found.console_cpu:.1%}", "-", True),
        Target(
            "its lookups take of a core of the server", f"{found.server_cpu:.1%}", "under 5%", found.server_cpu < LOSS
        ),
        Target("connections for all waiters", str(found.connections), "1", found.connections == 1),
        Target("clients that waited", f"{found.waiting:,}", f"{clients:,}", found.waiting == clients),
    ]


def as_dict(found: Waits) -> dict[str, Any]:
    """For `--json`."""
    return {**found._asdict(), "loss": round(found.loss, 4)}


def _address(console: subprocess.Popen[str]) -> tuple[str, int]:
    assert console.stderr is not None
    for line in console.stderr:
        if match := re.search(r"the console is at http://([\d.]+):(\d+)", line):
            return match[1], int(match[2])
    raise RuntimeError(f"the console ended with {console.wait(10)}")
