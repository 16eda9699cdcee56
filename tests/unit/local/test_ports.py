from __future__ import annotations

import socket
import sys

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
    lease = PortLease()
    for _ in range(3):
        assert not is_listening(lease.port)
        with listen(lease.port):
            assert is_listening(lease.port)
    lease.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can hold a port for somebody else")
def test_nobody_else_is_given_a_leased_port() -> None:
    leases = [PortLease() for _ in range(200)]
    taken = {lease.port for lease in leases}
    assert len(taken) == 200
    others = [socket.create_server((LOOPBACK, 0)) for _ in range(200)]
    assert not taken & {other.getsockname()[1] for other in others}
    for lease in leases:
        lease.close()
    for other in others:
        other.close()
