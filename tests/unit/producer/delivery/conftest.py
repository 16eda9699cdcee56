"""A log in memory, and outboxes that send to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from jobstatus_producer import ProducerSettings
from jobstatus_producer.clock import StrictClock
from jobstatus_producer.delivery.outbox import Outbox
from support.memory_transport import MemoryLog


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def open_outbox(log: MemoryLog) -> Iterator[Callable[..., Outbox]]:
    made: list[Outbox] = []
    clock = StrictClock()

    def make(**given: object) -> Outbox:
        settings = ProducerSettings(kafka={"bootstrap.servers": "127.0.0.1:1"}, **given)  # type: ignore[arg-type]
        made.append(Outbox(settings, clock=clock, open_transport=log.open))
        return made[-1]

    yield make
    for outbox in made:
        outbox.give_up(0)
