"""Closes the clients that a test leaves behind as a forked child does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from jobstatus_producer import JobStatusProducer
from jobstatus_producer.delivery.outbox import Outbox
from jobstatus_producer.process.state import STATE


@pytest.fixture(autouse=True)
def abandoned_clients_are_closed() -> Iterator[None]:
    """A child leaves its parent's clients alone; here both are one process, which would go on trying to connect."""
    before, STATE.abandoned = STATE.abandoned, []
    yield
    abandoned, STATE.abandoned = STATE.abandoned, before
    for client in abandoned:
        if isinstance(client, Outbox):
            client.give_up(0)
        elif isinstance(client, list):
            client.clear()


@pytest.fixture
def begin_anew() -> Iterator[Callable[[JobStatusProducer], None]]:
    """Calls `after_fork`. In a child the sender's thread does not exist; here it has to be ended, after the test."""
    senders = []

    def call(jobs: JobStatusProducer) -> None:
        senders.append(jobs._sender)
        jobs.after_fork()

    yield call
    for sender in senders:
        if sender is not None:
            sender.stop(30)
