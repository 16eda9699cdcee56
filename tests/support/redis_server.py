"""A real Redis."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobstatus_local.ports import LOOPBACK, PortLease, is_listening
from support.installed import program
from support.waiting import until


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A server of its own; its URL."""
    command = program("redis-server")
    with PortLease() as lease, (folder / "redis.log").open("wb") as log:
        options = ["--port", str(lease.port), "--bind", LOOPBACK, "--save", "", "--dir", str(folder)]
        process = subprocess.Popen([command, *options], stdout=log, stderr=subprocess.STDOUT)
        try:
            until(lambda: process.poll() is not None or is_listening(lease.port), "Redis listens")
            assert process.poll() is None, (folder / "redis.log").read_text()
            yield f"redis://{LOOPBACK}:{lease.port}/0"
        finally:
            process.kill()
            process.wait(30)
