"""Ports that no other process can take while our server is down."""

from __future__ import annotations

import socket
import sys
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"

#: Linux lets a server bind a port that another socket holds without listening, if both set SO_REUSEADDR; Java and
#: PostgreSQL do. So the lease keeps other processes from the port also while the server is down or restarts.
_CAN_HOLD = sys.platform == "linux"


class PortLease:
    """A free TCP port of 127.0.0.1, reserved until `close`. Outside Linux it is only free at the start."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((LOOPBACK, 0))
        self.port: int = self._socket.getsockname()[1]
        if not _CAN_HOLD:
            self._socket.close()

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_listening(port: int, timeout: float = 0.2) -> bool:
    """Whether a server accepts connections at 127.0.0.1:port now. Blocks for at most `timeout` seconds."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout):
            return True
    except OSError:
        return False
