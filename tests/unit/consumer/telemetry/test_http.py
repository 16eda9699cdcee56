"""The real HTTP server: no client keeps a probe or the end of the process waiting."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

import pytest
from jobstatus_consumer.errors import SettingsError
from jobstatus_consumer.telemetry import http
from jobstatus_consumer.telemetry.http import Health, HealthServer, address_family
from jobstatus_consumer.telemetry.metrics import Metrics
from support.waiting import assert_quick, until

HEALTHY = Health(writer_alive=True, poll_age=0.5, waiting_for="", waiting_seconds=0.0, assigned_partitions=3)


@contextmanager
def server(address: str = "127.0.0.1:0", **options: Any) -> Iterator[HealthServer]:
    found = HealthServer(address, Metrics().registry, lambda: HEALTHY, **options)
    try:
        yield found
    finally:
        found.close()


def connected(port: int, stack: ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))


def live(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/livez", timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def one_idle_connection(port: int, stack: ExitStack) -> None:
    connected(port, stack)


def one_that_sends_a_byte_a_second(port: int, stack: ExitStack) -> None:
    slow = connected(port, stack)
    enough = threading.Event()

    def send() -> None:
        for byte in b"GET /livez HTTP/1.1\r\n":
            try:
                slow.sendall(bytes([byte]))
            except OSError:
                return
            if enough.wait(1):
                return

    thread = threading.Thread(target=send)
    thread.start()
    stack.callback(thread.join)
    stack.callback(enough.set)


def two_hundred_connections_at_once(port: int, stack: ExitStack) -> None:
    for _ in range(200):
        connected(port, stack)


def one_that_never_reads_its_answer(port: int, stack: ExitStack) -> None:
    connected(port, stack).sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")


CLIENTS = [
    one_idle_connection,
    one_that_sends_a_byte_a_second,
    two_hundred_connections_at_once,
    one_that_never_reads_its_answer,
]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_probe_is_answered_within_a_second_beside_it(client: Callable[[int, ExitStack], None]) -> None:
    def seconds() -> float:
        with server() as found, ExitStack() as stack:
            client(found.port, stack)
            began = time.monotonic()
            assert live(found.url) == {"ok": True, **asdict(HEALTHY)}
            return time.monotonic() - began

    assert_quick(1.0, "an answer", seconds)


@pytest.mark.parametrize("client", CLIENTS)
def test_the_server_closes_within_two_seconds_beside_it(client: Callable[[int, ExitStack], None]) -> None:
    def seconds() -> float:
        with ExitStack() as stack:
            found = HealthServer("127.0.0.1:0", Metrics().registry, lambda: HEALTHY)
            client(found.port, stack)
            assert live(found.url)["ok"], "so the server has accepted the connections before this one"
            # in a thread, so that a server that never closes fails this test and not the whole run
            closing = threading.Thread(target=found.close, daemon=True)
            began = time.monotonic()
            closing.start()
            closing.join(30)
            assert not closing.is_alive()
            return time.monotonic() - began

    assert_quick(2.0, "closed", seconds)


def test_two_hundred_probes_at_once_are_all_answered() -> None:
    answers: list[bool] = []

    def ask(url: str) -> None:
        answers.append(live(url)["ok"])

    with server() as found:
        threads = [threading.Thread(target=ask, args=(found.url,)) for _ in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [True] * 200


def test_a_connection_over_its_time_is_cut_although_it_sends() -> None:
    def seconds() -> float:
        with server(request_seconds=0.5) as found, ExitStack() as stack:
            slow = connected(found.port, stack)
            began = time.monotonic()
            until(lambda: not _accepts(slow), "the connection is cut")
            return time.monotonic() - began

    assert_quick(5.0, "cut", seconds)


def _accepts(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"x")
    except OSError:
        return False
    return True


def test_there_are_never_more_threads_than_connections_that_may_be_open() -> None:
    before = threading.active_count()
    with server() as found, ExitStack() as stack:
        for _ in range(http.CONNECTIONS + 50):
            connected(found.port, stack)
        assert live(found.url)["ok"]
        until(lambda: threading.active_count() - before <= http.CONNECTIONS + 1, "the threads of cut connections end")


def test_it_listens_on_ipv6() -> None:
    assert address_family("::1") is socket.AF_INET6
    assert [address_family(host) for host in ("127.0.0.1", "localhost")] == [socket.AF_INET] * 2
    if _has_ipv6():
        with server("[::1]:0") as found:
            assert found.url == f"http://[::1]:{found.port}"
            assert live(found.url)["ok"]


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_a_busy_port_is_a_wrong_setting() -> None:
    with server() as found, pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{found.port}"):
        HealthServer(f"127.0.0.1:{found.port}", Metrics().registry, lambda: HEALTHY)
