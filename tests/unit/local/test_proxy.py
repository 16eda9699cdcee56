from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest
from jobstatus_local.ports import PortLease
from jobstatus_local.proxy import TcpProxy
from support.processes import wait_until


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            while data := self.request.recv(65536):
                self.request.sendall(data)
        except ConnectionError:
            pass


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@pytest.fixture
def proxy() -> Iterator[TcpProxy]:
    with Server(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with TcpProxy(server.server_address[1]) as proxy:
            yield proxy
        server.shutdown()


@pytest.fixture
def client(proxy: TcpProxy) -> Iterator[socket.socket]:
    with socket.create_connection(proxy.address, timeout=20) as connection:
        connection.sendall(b"hello")
        assert receive(connection, 5) == b"hello"
        yield connection


def receive(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        assert chunk, f"ended after {len(data)} of {count} bytes"
        data += chunk
    return data


def test_bytes_pass_both_ways_and_ends_too(proxy: TcpProxy, client: socket.socket) -> None:
    data = bytes(range(256)) * 4096
    threading.Thread(target=client.sendall, args=(data,)).start()
    assert receive(client, len(data)) == data
    assert (proxy.connections, proxy.accepted) == (1, 1)
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    wait_until(lambda: proxy.connections == 0, "the proxy has forgotten the connection")


def test_cut_resets_what_is_open_and_takes_what_comes(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with socket.create_connection(proxy.address, timeout=20) as another:
        another.sendall(b"again")
        assert receive(another, 5) == b"again"


def test_refuse_keeps_what_is_open_and_the_port(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(proxy.address, timeout=20)
    client.sendall(b"still")
    assert receive(client, 5) == b"still"
    proxy.heal()
    with socket.create_connection(proxy.address, timeout=20) as another:
        another.sendall(b"again")
        assert receive(another, 5) == b"again"


def test_deaf_answers_nobody_and_heals_without_loss(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.deaf()
    another = socket.create_connection(proxy.address, timeout=0.1)
    for connection in (client, another):
        connection.settimeout(0.1)
        connection.sendall(b"anyone?")
        with pytest.raises(TimeoutError):
            connection.recv(1)
    proxy.heal()
    for connection in (client, another):
        connection.settimeout(20)
        assert receive(connection, 7) == b"anyone?"
    another.close()


def test_delay_holds_each_way(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.delay(0.1)
    started = time.monotonic()
    client.sendall(b"slow")
    assert receive(client, 4) == b"slow"
    assert time.monotonic() - started >= 0.2


def test_a_delay_may_be_of_the_answers_alone(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.delay(0.0, 0.3)
    started = time.monotonic()
    client.sendall(b"slow")
    assert receive(client, 4) == b"slow"
    assert time.monotonic() - started >= 0.3
    proxy.heal()
    client.sendall(b"again")
    assert receive(client, 5) == b"again"


def test_a_delay_works_in_a_process_with_more_files_than_select_has_room_for(
    proxy: TcpProxy, client: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobstatus_local.proxy._FILES_OF_SELECT", 0)
    test_delay_holds_each_way(proxy, client)


def test_a_server_that_is_down_resets_the_client() -> None:
    with (
        PortLease() as lease,
        TcpProxy(lease.port) as proxy,
        pytest.raises(ConnectionResetError),  # as early as in the connecting, or else in the receiving
        socket.create_connection(proxy.address, timeout=20) as client,
    ):
        client.recv(1)


def test_a_closed_proxy_leaves_no_thread(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.close()
    proxy.close()
    assert f"proxy-{proxy.port}" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(ConnectionResetError):
        client.recv(1)


@pytest.mark.parametrize(
    ("url", "changed"),
    [
        ("postgresql://me:s%40crt@127.0.0.1:5432/db?x=1", "postgresql://me:s%40crt@127.0.0.1:{}/db?x=1"),
        ("postgresql://127.0.0.1:5432/db", "postgresql://127.0.0.1:{}/db"),
    ],
)
def test_a_url_leads_through_the_proxy(proxy: TcpProxy, url: str, changed: str) -> None:
    assert proxy.through(url) == changed.format(proxy.port)
