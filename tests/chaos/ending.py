"""One worker process that ends as a framework ends it: ending.py <journal> <way> <events>

The journal has a line for each event that was accepted: its id, and before it `+` if the docs promise that the event
is delivered, spooled or named in an error line at this end, or `?` if they say that it may be lost.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import islice
from os import _exit as real_exit
from pathlib import Path
from typing import Any, Final

import uvicorn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jobstatus_producer import JobStatusProducer

from chaos.worker import events

CHILDREN: Final = 3
FLUSH_SECONDS: Final = 60.0


class Reporting:
    """A producer, which is made at the first report, and the journal of what it accepted."""

    def __init__(self, journal: Path, count: int) -> None:
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND)
        self._count = count

    @cached_property
    def producer(self) -> JobStatusProducer:
        return JobStatusProducer.from_env()

    def report(self, mark: str = "+") -> list[str]:
        """Report as many events as are wanted; their ids."""
        return [self._report(event, mark) for event in islice(events(os.getpid(), 400), self._count)]

    def _report(self, event: Any, mark: str) -> str:
        self.producer.update_many([event])
        self.note(mark, event.event_id)
        return str(event.event_id)

    def note(self, mark: str, event_id: str) -> None:
        """One line of the journal, at once: the next one may never be reached."""
        os.write(self._journal, f"{mark}{event_id}\n".encode())


def _in_children(work: Callable[[], object]) -> None:
    """As RQ's work horses: each task in a child of its own."""
    children = []
    for _ in range(CHILDREN):
        children.append(os.fork())
        if not children[-1]:
            work()
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(max(codes, key=abs))


def _os_exit(reporting: Reporting) -> None:
    def work() -> None:
        reporting.report()
        os._exit(0)

    _in_children(work)


def _durable(reporting: Reporting) -> None:
    """`os._exit` by a name that was imported before: no flush, and each event is on the disk already."""

    def work() -> None:
        reporting.report()
        real_exit(0)

    _in_children(work)


def _unprotected(reporting: Reporting) -> None:
    """The same without a disk: what a flush has confirmed is safe, and nothing after it."""

    def work() -> None:
        confirmed = reporting.report("?")
        if reporting.producer.flush(FLUSH_SECONDS) == 0:
            for event_id in confirmed:
                reporting.note("+", event_id)
        reporting.report("?")
        real_exit(0)

    _in_children(work)


def _uvicorn(reporting: Reporting) -> None:
    """It puts the earlier handler back at its end and raises SIGTERM again."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        await send({"type": "lifespan.startup.complete"})
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGTERM)
        await receive()
        reporting.report()
        await send({"type": "lifespan.shutdown.complete"})

    uvicorn.run(app, port=0, log_level="error")


def _sigterm(reporting: Reporting) -> None:
    """Without a handler of the application."""
    reporting.report()
    signal.raise_signal(signal.SIGTERM)
    # in short sleeps: of a signal that comes just before a sleep, Python calls the handler only after it
    while True:
        time.sleep(0.05)


WAYS: Final[Mapping[str, Callable[[Reporting], None]]] = {
    "os._exit": _os_exit,
    "os._exit, durable": _durable,
    "os._exit, unprotected": _unprotected,
    "SIGTERM, uvicorn": _uvicorn,
    "SIGTERM": _sigterm,
}


def main(journal: Path, way: str, count: int) -> None:
    """Report, and end."""
    WAYS[way](Reporting(journal, count))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
