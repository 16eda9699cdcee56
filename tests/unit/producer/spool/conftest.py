"""A spool folder, and the backlogs that use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from jobstatus_producer import ProducerSettings
from jobstatus_producer.delivery.backlog import Backlog

OpenBacklog = Callable[..., Backlog]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def troubles() -> list[str]:
    """What the backlogs say."""
    return []


@pytest.fixture
def open_backlog(folder: Path, troubles: list[str]) -> Iterator[OpenBacklog]:
    """`open_backlog(durable=...)`: one that is closed at the end of the test."""
    made: list[Backlog] = []

    def make(*, durable: bool = False) -> Backlog:
        settings = ProducerSettings(kafka={"bootstrap.servers": "127.0.0.1:1"}, spool_dir=folder, durable=durable)
        made.append(Backlog(settings, troubles.append))
        return made[-1]

    yield make
    for backlog in made:
        backlog.close()


def drained(backlog: Backlog) -> list[int]:
    """The `seq` of everything that comes out, settled as it comes."""
    found = []
    while (chunk := backlog.first(10)).records:
        found += [each.seq for each in chunk.records]
        backlog.settle(chunk.records, chunk.taken_over)
    return found


def open_files() -> int:
    return psutil.Process().num_fds()
