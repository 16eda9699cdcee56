"""What both local servers have in common: a supervisor, a folder, ports, and a start that cleans up if it fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from jobstatus_local.errors import LocalServerError
from jobstatus_local.ports import PortLease
from jobstatus_local.process import Supervisor
from jobstatus_local.workdir import Workdir

_TRIES = 3
_GRACE_SECONDS = 1.0  # its data is removed next, so a clean stop is not needed
_GRACE_TO_KEEP_SECONDS = 15.0
_PORT_TAKEN = "Address already in use"


class LocalServer(ABC):
    """A server; a context manager. Between `stop` and `start` it keeps its data and its ports."""

    def __init__(self, kind: str, workdir: Path | None) -> None:
        self._kind = kind
        self._wanted_workdir = workdir
        self._workdir: Workdir | None = None
        self._supervisor: Supervisor | None = None
        self._leases: list[PortLease] = []

    @property
    def workdir(self) -> Path:
        """The folder with its configuration, data and logs."""
        if self._workdir is None:
            raise self._not_running()
        return self._workdir.path

    @property
    def supervisor(self) -> Supervisor:
        """The process above the server."""
        if self._supervisor is None:
            raise self._not_running()
        return self._supervisor

    def start(self) -> None:
        """Start what is down, and block until the server answers. Nothing happens if it runs.

        Raises:
            LocalServerError: what failed and why, with the end of the log. After a failed first start nothing runs.
        """
        if self._supervisor is not None:
            self._run()
            return
        for attempt in range(1, _TRIES + 1):
            try:
                self._open()
                self._run()
                return
            except BaseException as error:
                again = attempt < _TRIES and _is_port_taken(error)
                self._close(keep_logs=not again)
                if not again:
                    raise

    @abstractmethod
    def stop(self) -> None:
        """Stop cleanly, and block until the server has ended. Nothing happens if it is down."""

    def close(self) -> None:
        """Stop the server and remove its temporary files. Idempotent."""
        self._close(keep_logs=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _open(self) -> None:
        """Prepare everything for the first start. Must begin with `_open_workdir`."""

    @abstractmethod
    def _run(self) -> None:
        """Start what is down, and block until the server answers."""

    def _open_workdir(self, parent: Path | None = None) -> None:
        self._workdir = Workdir(self._wanted_workdir, self._kind, parent)
        self._supervisor = Supervisor(self._workdir.to_remove)

    def _lease_port(self) -> int:
        lease = PortLease()
        self._leases.append(lease)
        return lease.port

    def _close(self, keep_logs: bool) -> None:
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.close(_GRACE_SECONDS if self._wanted_workdir is None else _GRACE_TO_KEEP_SECONDS)
        for lease in self._leases:
            lease.close()
        self._leases = []
        if self._workdir is not None:
            self._workdir.close(keep_logs)
            self._workdir = None

    def _not_running(self) -> LocalServerError:
        return LocalServerError(f"this {type(self).__name__} is not running: use it in a `with`, or call start()")


def _is_port_taken(error: BaseException) -> bool:
    """Whether a start failed because another process took the port. Then it is tried again with other ports."""
    if not isinstance(error, LocalServerError) or error.log is None:
        return False
    try:
        return _PORT_TAKEN in error.log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
