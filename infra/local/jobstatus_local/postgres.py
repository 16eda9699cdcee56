"""A real PostgreSQL as a child process.

    with LocalPostgres() as pg:
        psycopg.connect(pg.url)

It listens on 127.0.0.1 only, with a random password, the C locale and UTF-8. fsync is on, so that its speed and its
crash recovery are realistic. It ends with the process that started it, even if that process is killed with SIGKILL.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jobstatus_local import postgres_binaries
from jobstatus_local.ports import LOOPBACK, is_listening
from jobstatus_local.process import Account, NotReady
from jobstatus_local.server import LocalServer

if TYPE_CHECKING:
    from psycopg import Connection

USER = "jobstatus"
DATABASE = "jobstatus"
_NAME = "postgres"
_STOP_SECONDS = 20.0
_CONNECT_SECONDS = 20
_PROBE_SECONDS = 2  # the least that libpq allows; a probe is repeated
_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_SETTINGS = {"unix_socket_directories": "", "max_connections": "200", "log_line_prefix": "%m [%p] "}


class LocalPostgres(LocalServer):
    """One local server; a context manager. Between `stop` or `kill` and `start` it keeps its data and its port."""

    def __init__(
        self,
        workdir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        *,
        start_timeout: float = 60.0,
        programs: Path | None = None,
    ) -> None:
        """Nothing runs until `start` or `with`.

        Args:
            workdir: keeps the data in this folder, for a later server. Default: a temporary folder.
            settings: of `postgresql.conf`, by name. They replace ours.
            start_timeout: after so many seconds a start fails.
            programs: a folder with the `bin`, `lib` and `share` of another version. Default: those of the wheel.
        """
        super().__init__("postgres", workdir)
        self._programs = programs
        self._settings = {_checked(name): value for name, value in {**_SETTINGS, **(settings or {})}.items()}
        self._start_timeout = start_timeout
        self.port = 0  # until the first start
        self._account: Account | None = None
        self._install = Path()
        self._password = ""
        self._pid: int | None = None

    @property
    def url(self) -> str:
        """The connection URL of the database `jobstatus`, for its superuser; it holds the password."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """The connection URL of a database of this server."""
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    @property
    def data_dir(self) -> Path:
        return self.workdir / "data"

    @property
    def log(self) -> Path:
        return self.workdir / "postgres.log"

    @property
    def pid(self) -> int | None:
        """The process id of the postmaster; None while it is down."""
        if self._pid is not None and self.supervisor.poll(_NAME) is not None:
            self._pid = None
        return self._pid

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server, and block until it has ended. Nothing happens if it is down.

        `fast` ends the sessions and writes a checkpoint; `immediate` leaves the recovery to the next start.
        """
        self._stop(_SIGNALS[mode])

    def kill(self) -> None:
        """Send SIGKILL to the postmaster, and block until it and its children are gone. `start` recovers."""
        self._stop(signal.SIGKILL)

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database and return its URL. It is a copy of `template`, if given, which must have no sessions."""
        from psycopg import sql

        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        with self._connect("postgres") as connection:
            connection.execute(statement)
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop a database and end its sessions. Nothing happens if it does not exist."""
        from psycopg import sql

        with self._connect("postgres") as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _open(self) -> None:
        self._account = postgres_binaries.unprivileged_account()
        parent = postgres_binaries.reachable_temporary_folder() if self._wanted_workdir is None else None
        self._open_workdir(parent)
        self.port, self._pid = self._lease_port(), None
        self.data_dir.mkdir(mode=0o700, exist_ok=True)
        if self._account is not None:
            if self._wanted_workdir is None:
                self.workdir.chmod(0o711)  # the account may pass through our new folder, and list nothing
            os.chown(self.data_dir, self._account.uid, self._account.gid)
            postgres_binaries.check_reachable(self.supervisor, self.data_dir, self._account)
        self._install = postgres_binaries.usable_install(self.supervisor, self.workdir, self._account, self._programs)
        self._password = _kept_password(self.workdir / "password")
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise()

    def _initialise(self) -> None:
        password_file = self.data_dir.with_name("initial-password")
        password_file.write_text(self._password + "\n", encoding="ascii")
        password_file.chmod(0o600)
        if self._account is not None:
            os.chown(password_file, self._account.uid, self._account.gid)
        options = ["--username", USER, "--pwfile", str(password_file), "--auth", "scram-sha-256"]
        options += ["--encoding", "UTF8", "--locale", "C"]
        if self._programs is None:  # versions before 16 do not know the setting
            # the password has 128 random bits: iterations would only make every connection slower
            options += ["--set", "scram_iterations=1"]
        initdb = self._install / "bin" / "initdb"
        argv: list[str | Path] = [initdb, "-D", self.data_dir, "--no-sync", *options]
        try:
            self.supervisor.run("initdb", argv, self.workdir / "initdb.log", account=self._account)
        finally:
            password_file.unlink()

    def _run(self) -> None:
        if self.pid is not None:
            return
        argv: list[str | Path] = [self._install / "bin" / "postgres", "-D", self.data_dir]
        for name, value in {"listen_addresses": LOOPBACK, "port": str(self.port), **self._settings}.items():
            argv += ["-c", f"{name}={value}"]
        self._pid = self.supervisor.start(_NAME, argv, self.log, account=self._account, stop_signal=signal.SIGINT)
        self.supervisor.await_ready(_NAME, self.log, self._probe, self._start_timeout)
        self._create_first_database()

    def _probe(self) -> None:
        import psycopg

        if not is_listening(self.port):
            raise NotReady("it does not listen yet")
        try:
            with self._connect("postgres", _PROBE_SECONDS) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            raise NotReady(str(error)) from error

    def _create_first_database(self) -> None:
        with self._connect("postgres") as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if found is None:
            self.create_database(DATABASE)

    def _connect(self, database: str, timeout: int = _CONNECT_SECONDS) -> Connection[Any]:
        import psycopg

        return psycopg.connect(self.url_of(database), autocommit=True, connect_timeout=timeout)

    def _close(self, keep_logs: bool) -> None:
        super()._close(keep_logs)
        self._pid = None

    def _stop(self, number: int) -> None:
        if self._pid is not None:
            self.supervisor.stop(_NAME, number, _STOP_SECONDS)
            self._pid = None


def _checked(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", name):
        raise ValueError(f"not the name of a PostgreSQL setting: {name!r}")
    return name


def _kept_password(path: Path) -> str:
    """The password in the file, which is made at first use: a kept data folder needs the same one."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(16))
    return path.read_text(encoding="ascii")
