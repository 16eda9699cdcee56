from __future__ import annotations

import socket
import sys
from contextlib import ExitStack

import pytest
from jobstatus_local.ports import LOOPBACK, PortLease, is_listening


def listen(port: int) -> socket.socket:
    """As Java and PostgreSQL do it."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((LOOPBACK, port))
    server.listen()
    return server


def test_a_server_can_listen_on_a_leased_port_again_and_again() -> None:
    with PortLease() as lease:
        for _ in range(3):
            assert not is_listening(lease.port)
            with listen(lease.port):
                assert is_listening(lease.port)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can hold a port for somebody else")
def test_nobody_else_is_given_a_leased_port() -> None:
    with ExitStack() as held:
        leased = {held.enter_context(PortLease()).port for _ in range(200)}
        others = [held.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(200)]
        assert len(leased) == 200
        assert not leased & {other.getsockname()[1] for other in others}
