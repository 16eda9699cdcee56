"""A fork waits while a Kafka client's threads start, and for no longer than a second."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from jobstatus_producer.process import note_client_quiet, note_client_start, os_fork
from jobstatus_producer.process.os_fork import START_SECONDS, wait_for_new_clients
from jobstatus_producer.process.state import STATE


@pytest.fixture(autouse=True)
def no_client_is_left() -> Iterator[None]:
    # a test of a client alone leaves ours installed
    os_fork.uninstall()
    yield
    STATE.new_clients.clear()
    os_fork.uninstall()


def test_without_a_new_client_a_fork_waits_for_nothing() -> None:
    wait_for_new_clients(pause=lambda _: pytest.fail("it waits"))


def test_a_fork_waits_until_every_new_client_is_quiet() -> None:
    clients = [object(), object()]
    for client in clients:
        note_client_start(client)
    pauses = 0

    def pause(_: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses in (3, 5):
            note_client_quiet(clients[pauses // 5])

    wait_for_new_clients(pause=pause)
    assert pauses == 5


def test_a_fork_waits_a_second_for_a_client_that_finds_no_broker() -> None:
    note_client_start(object())
    began = now = time.monotonic()

    def pause(seconds: float) -> None:
        nonlocal now
        now += seconds

    wait_for_new_clients(clock=lambda: now, pause=pause)
    assert START_SECONDS - 0.01 <= now - began <= START_SECONDS + 0.01


def test_the_real_fork_is_put_back_unless_another_package_has_replaced_ours() -> None:
    real = os.fork
    note_client_start(object())
    note_client_start(object())
    ours = os.fork
    assert ours is not real
    os_fork.uninstall()
    assert os.fork is real
    note_client_start(object())
    os.fork = theirs = lambda: ours()
    os_fork.uninstall()
    assert os.fork is theirs
    os.fork = real


def test_a_package_that_has_wrapped_our_fork_is_called_once_for_each_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """It wraps ours between two clients, as a profiler does, and calls it."""
    forks: list[str] = []

    def real() -> int:
        forks.append("real")
        return 7

    def theirs() -> int:
        forks.append("theirs")
        return ours()

    monkeypatch.setattr(os, "fork", real)
    note_client_start(object())
    ours = os.fork
    monkeypatch.setattr(os, "fork", theirs)
    note_client_start(object())
    STATE.new_clients.clear()
    assert os.fork() == 7
    assert forks == ["theirs", "real"]
