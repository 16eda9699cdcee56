"""The command `jobstatus` as a real process that costs milliseconds: a fork of one that has imported everything.

Importing costs a process of the command most of a second of processor time, and there are hundreds in a session. The
forks have the streams, the environment, the signals and the end of a process of their own. What an interpreter does
before it imports anything is not in them, nor is what it does after its exit functions, except in `jobstatus consume`
and in scripts: a test of that starts `COMMAND` by `subprocess`.
"""

from __future__ import annotations

import atexit
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, AnyStr, Final

from support.fork_server import LENGTH
from support.waiting import readable

COMMAND: Final = str(Path(sys.executable).parent / "jobstatus")
OBEYED: Final = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONUNBUFFERED")
"""What a fork does as an interpreter would. A module that is imported already is the one of the server, however."""


def _needs_an_interpreter(environ: Mapping[str, str]) -> bool:
    """Whether the variables ask for what Python does only where it starts, such as another encoding."""
    others = {name: value for name, value in environ.items() if name.startswith("PYTHON") and name not in OBEYED}
    ours = any(os.environ.get(name) != value for name, value in others.items())
    locale = (environ.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    return ours or any(value and not value.lower().endswith(("utf-8", "utf8")) for value in locale)


class _Server:
    """The process that forks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JOBSTATUS_", "LC_"))}
        self._requests, theirs = socket.socketpair()
        self.folder = Path(tempfile.mkdtemp(prefix="jobstatus-forks-"))
        with theirs, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.folder / "socket"))
            listener.listen(64)
            self._write_program()
            script = str(Path(__file__).with_name("fork_server.py"))
            descriptors = [theirs.fileno(), listener.fileno()]
            self._process = subprocess.Popen(
                [sys.executable, script, *map(str, descriptors)],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                env={**kept, "LANG": "C.UTF-8"},
            )
        atexit.register(self._close)

    def _write_program(self) -> None:
        client = [sys.executable, "-IS", str(Path(__file__).with_name("forked_client.py")), str(self.folder / "socket")]
        program = self.folder / "jobstatus"
        program.write_text(f'#!/bin/sh\nexec {shlex.join(client)} "$@"\n')
        program.chmod(0o755)

    def fork(self, request: bytes, descriptors: Sequence[int]) -> int:
        """The id of a new process."""
        with self._lock:
            socket.send_fds(self._requests, [LENGTH.pack(len(request))], descriptors)
            self._requests.sendall(request)
            answer = self._requests.recv(LENGTH.size)
        assert answer, "the server of forks has ended"
        return int(LENGTH.unpack(answer)[0])

    def _close(self) -> None:
        self._requests.close()
        self._process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)


_server: list[_Server] = []
_starting = threading.Lock()


def _the_server() -> _Server:
    with _starting:
        if not _server:
            _server.append(_Server())
        return _server[0]


def folder_of_programs() -> str:
    """A folder for the PATH of a shell: its program `jobstatus` is a fork as well."""
    return str(_the_server().folder)


class Command(subprocess.Popen[AnyStr]):
    """`Popen` of the command `jobstatus`, or of the interpreter and a script."""

    _result: int | None = None

    def _execute_child(self, *given: Any) -> None:
        """Replaces the private step of `Popen` that starts the process; everything before and after it is the same."""
        args, cwd, env = given[0], given[5], given[6]
        environ = dict(os.environ if env is None else env)
        if _needs_an_interpreter(environ):
            super()._execute_child(*given)  # type: ignore[misc]
            return
        argv = list(map(os.fspath, args))
        if argv[0] == sys.executable:
            argv.pop(0)
        elif argv[0] != COMMAND:
            raise ValueError(f"this starts {COMMAND} or a Python script, not {argv[0]}")
        ends = given[10:16]
        p2cread, _, _, c2pwrite, _, errwrite = ends
        streams: list[int] = [end if end >= 0 else own for own, end in enumerate((p2cread, c2pwrite, errwrite))]
        request = {"argv": argv, "environ": environ, "folder": cwd or os.getcwd(), "new_session": given[21]}
        self._result, theirs = os.pipe()
        try:
            self.pid = _the_server().fork(json.dumps(request).encode(), [*streams, theirs])
            self._child_created = True
        finally:
            os.close(theirs)
            self._close_pipe_fds(*ends)  # type: ignore[attr-defined]

    def poll(self) -> int | None:
        return super().poll() if self._result is None else self._ended_within(0)

    def wait(self, timeout: float | None = None) -> int:
        if self._result is None:
            return super().wait(timeout)
        code = self._ended_within(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def _ended_within(self, timeout: float | None) -> int | None:
        """The exit code; None if it still runs after so many seconds."""
        assert self._result is not None
        with self._waitpid_lock:  # type: ignore[attr-defined]
            if self.returncode is None and readable(self._result, timeout):
                status = os.read(self._result, LENGTH.size)
                assert status, "the server of forks has ended"
                self.returncode = os.waitstatus_to_exitcode(*LENGTH.unpack(status))
                os.close(self._result)
        found: int | None = self.returncode
        return found


def run(
    arguments: Sequence[str], environ: Mapping[str, str], timeout: float = 120.0, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command with these arguments to its end; kill it after `timeout` seconds."""
    with Command(
        [COMMAND, *arguments],
        env=environ,
        stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            out, err = process.communicate(given, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(list(arguments), process.returncode, out, err)
