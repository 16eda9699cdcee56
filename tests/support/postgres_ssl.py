"""A real PostgreSQL that speaks TLS: Debian's, because the server in the wheel was built without it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
from jobstatus_local.ports import LOOPBACK, PortLease
from jobstatus_local.postgres_binaries import unprivileged_account
from support.certificates import Certificate
from support.installed import program
from support.waiting import until

PASSWORD: Final = "of-the-tests"
OPTIONS: Final = ("ssl=on", f"listen_addresses={LOOPBACK}", "unix_socket_directories=", "fsync=off")


@contextmanager
def postgres_with_tls(certificate: Certificate) -> Iterator[str]:
    """A server with this certificate; gives the URL of a database, without parameters."""
    folder = Path(tempfile.mkdtemp(prefix="jobstatus-tls-"))
    log = folder / "log"
    try:
        programs, as_account = _programs(), _as_account()
        _initialise(programs, folder, certificate, as_account)
        with PortLease() as lease, log.open("wb") as out:
            options = [word for option in (*OPTIONS, f"port={lease.port}") for word in ("-c", option)]
            argv = [str(programs / "postgres"), "-D", str(folder / "data"), *options]
            with subprocess.Popen(argv, stdout=out, stderr=out, **as_account) as server:
                url = f"postgresql://jobstatus:{PASSWORD}@{LOOPBACK}:{lease.port}/postgres"
                try:
                    until(lambda: _answers(url, server, log), "PostgreSQL answers", 120)
                    yield url
                finally:
                    server.send_signal(signal.SIGQUIT)
    finally:
        shutil.rmtree(folder)


def renew(owner: psycopg.Connection[Any], certificate: Certificate, clients: Path) -> None:
    """Give the server another certificate, and have it ask clients for one of the authority `clients`."""
    ((place,),) = owner.execute("SHOW data_directory").fetchall()
    data = Path(place)
    contents = {
        "server.crt": certificate.certificate.read_bytes(),
        "server.key": certificate.key.read_bytes(),
        "clients.crt": clients.read_bytes(),
        "pg_hba.conf": b"hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n",
    }
    for name, content in contents.items():
        (data / name).write_bytes(content)
        (data / name).chmod(0o600)
        _own(_as_account(), data / name)
    owner.execute("ALTER SYSTEM SET ssl_ca_file = 'clients.crt'")
    owner.execute("SELECT pg_reload_conf()")


def _programs() -> Path:
    program("pg_ctlcluster")
    return max(Path("/usr/lib/postgresql").glob("*/bin"))


def _as_account() -> dict[str, Any]:
    """The arguments with which a process runs as the account of the server, which must not be root."""
    account = unprivileged_account()
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def _initialise(programs: Path, folder: Path, certificate: Certificate, as_account: dict[str, Any]) -> None:
    data, password = folder / "data", folder / "password"
    data.mkdir(mode=0o700)
    password.write_text(PASSWORD)
    _own(as_account, folder, data, password)
    kind = ["-U", "jobstatus", "--pwfile", str(password), "-A", "scram-sha-256", "-E", "UTF8", "--locale", "C"]
    argv = [str(programs / "initdb"), "-D", str(data), *kind, "--no-sync"]
    subprocess.run(argv, check=True, capture_output=True, timeout=120, **as_account)
    for name, content in zip(("server.crt", "server.key"), certificate, strict=True):
        (data / name).write_bytes(content.read_bytes())
        (data / name).chmod(0o600)
        _own(as_account, data / name)


def _own(as_account: dict[str, Any], *paths: Path) -> None:
    for path in paths if as_account else ():
        os.chown(path, as_account["user"], as_account["group"])


def _answers(url: str, server: subprocess.Popen[Any], log: Path) -> bool:
    assert server.poll() is None, log.read_text()
    try:
        psycopg.connect(f"{url}?sslmode=require", connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True
