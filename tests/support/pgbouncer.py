"""A real PgBouncer in front of a local PostgreSQL."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from jobstatus_local.ports import LOOPBACK, PortLease, is_listening
from support.installed import program
from support.waiting import until

_INI: Final = """
[databases]
* = host={host} port={port} user={user} password={password}
[pgbouncer]
listen_addr = {loopback}
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
"""


@contextmanager
def pgbouncer(server: str, folder: Path, mode: str, size: int = 5) -> Iterator[str]:
    """PgBouncer in front of the server of the URL `server`; the same URL through it."""
    command = program("pgbouncer")
    parts = urlsplit(server)
    with PortLease() as lease:
        ini, log = folder / f"{mode}.ini", folder / f"{mode}.log"
        ini.write_text(
            _INI.format(
                host=parts.hostname,
                port=parts.port,
                user=parts.username,
                password=parts.password,
                loopback=LOOPBACK,
                listen=lease.port,
                mode=mode,
                size=size,
            )
        )
        account = ["-u", _unprivileged(folder, ini)] if os.geteuid() == 0 else []
        with log.open("wb") as out:
            process = subprocess.Popen([command, *account, str(ini)], stdout=out, stderr=subprocess.STDOUT)
        try:
            until(
                lambda: process.poll() is not None or is_listening(lease.port),
                f"PgBouncer listens: {log.read_text()}",
            )
            assert process.poll() is None, log.read_text()
            yield f"postgresql://{parts.username}:{parts.password}@{LOOPBACK}:{lease.port}{parts.path}"
        finally:
            process.kill()
            process.wait(30)


def _unprivileged(folder: Path, ini: Path) -> str:
    """An account for it, which may read its file: it refuses to run as root."""
    account = pwd.getpwnam("nobody")
    os.chown(ini, account.pw_uid, account.pw_gid)
    return account.pw_name
