"""Our side of the supervisor process: start a server, signal it, wait for it, and report why it failed."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from jobstatus_local.errors import LocalServerError

_ANSWER_SECONDS = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.2
_SUPERVISOR = Path(__file__).with_name("supervisor.py")

#: The servers get nothing of our environment: no PGDATA, no JAVA_TOOL_OPTIONS, no locale, no time zone.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class Account:
    """The account that runs a server, if it is not our own."""

    uid: int
    gid: int
    name: str


class Supervisor:
    """One supervisor process and the servers below it. Thread-safe. A forked child cannot use it."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        """Start the supervisor. It removes `folders` if we are killed."""
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._last_id = 0
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SUPERVISOR), str(self._owner), *map(str, folders)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            cwd="/",
        )
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)

    @property
    def pid(self) -> int:
        return self._process.pid

    def _ask(self, **request: Any) -> dict[str, Any]:
        if os.getpid() != self._owner:
            raise LocalServerError("a local server belongs to the process that started it, not to a fork of it")
        with self._lock:
            self._last_id += 1
            try:
                self._requests.write(json.dumps({**request, "id": self._last_id}).encode() + b"\n")
                return self._await_answer(self._last_id)
            except (OSError, ValueError) as error:  # a broken pipe, or a pipe that close() has closed
                raise LocalServerError(f"the supervisor process {self.pid} is gone, and its servers with it") from error

    def _await_answer(self, request_id: int) -> dict[str, Any]:
        """The answer to this request. An answer to an earlier request, whose wait was interrupted, is skipped."""
        # not select(), which refuses a descriptor above 1,023
        answers = select.poll()
        answers.register(self._answers, select.POLLIN)
        while answers.poll(_ANSWER_SECONDS * 1000):
            line = self._answers.readline()
            if not line:
                raise BrokenPipeError
            answer: dict[str, Any] = json.loads(line)
            if answer["id"] == request_id:
                return answer
        self._process.kill()
        raise TimeoutError(f"no answer within {_ANSWER_SECONDS:.0f} s")

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        log: Path,
        *,
        account: Account | None = None,
        stop_signal: int = signal.SIGTERM,
    ) -> int:
        """Start a server and return its process id. Its output is appended to `log`. Does not wait for the server.

        Raises:
            LocalServerError: it cannot be executed.
        """
        answer = self._ask(
            op="start",
            name=name,
            argv=[str(word) for word in argv],
            env=ENVIRONMENT,
            log=str(log),
            user=account and account.uid,
            group=account and account.gid,
            stop_signal=int(stop_signal),
        )
        if "error" in answer:
            raise LocalServerError(f"{name} cannot be run: {argv[0]}: {answer['error']}")
        return int(answer["pid"])

    def signal(self, name: str, number: int) -> bool:
        """Send a signal; False if the server had ended before."""
        return bool(self._ask(op="signal", name=name, signal=int(number))["sent"])

    def poll(self, name: str) -> int | None:
        """The server's exit code, negative for a signal; None while it or a child of it runs."""
        code: int | None = self._ask(op="poll", name=name)["code"]
        return code

    def wait(self, name: str, timeout: float) -> int | None:
        """As `poll`, but blocks for up to `timeout` seconds until the server has ended."""
        began = time.monotonic()
        while (code := self.poll(name)) is None and time.monotonic() < began + timeout:
            _pause(began)
        return code

    def stop(self, name: str, number: int, timeout: float) -> None:
        """Send a signal and block until the server has ended. Send SIGKILL after `timeout` seconds.

        Raises:
            LocalServerError: SIGKILL did not end it either.
        """
        if self.signal(name, number) and self.wait(name, timeout) is None:
            self.signal(name, signal.SIGKILL)
        if self.wait(name, timeout) is None:
            raise LocalServerError(f"{name} did not end within {timeout:.0f} s of SIGKILL")

    def run(self, name: str, argv: Sequence[str | Path], log: Path, *, account: Account | None = None) -> None:
        """Run a command and block until it has ended, for at most 60 s.

        Raises:
            LocalServerError: it could not be run or did not exit with 0. The message has the end of its output.
        """
        self.start(name, argv, log, account=account)
        code = self.wait(name, 60)
        if code is None:
            self.stop(name, signal.SIGKILL, 10)
            raise LocalServerError(f"{name} did not end within 60 s", log)
        if code != 0:
            raise LocalServerError(f"{name} failed {_describe_exit(code)}", log)

    def await_ready(self, name: str, log: Path, probe: Callable[[], object], timeout: float) -> None:
        """Block until `probe` no longer raises `NotReady`.

        Raises:
            LocalServerError: the server ended, or was not ready within `timeout` seconds.
        """
        began = time.monotonic()
        while True:
            if (code := self.poll(name)) is not None:
                raise LocalServerError(f"{name} ended {_describe_exit(code)} while it was starting", log)
            try:
                probe()
                return
            except NotReady as error:
                if time.monotonic() > began + timeout:
                    raise LocalServerError(f"{name} did not answer within {timeout:.0f} s: {error}", log) from error
            _pause(began)

    def close(self, grace: float = 5.0) -> None:
        """Stop the servers, by SIGKILL after `grace` seconds, then the supervisor. Blocks; idempotent."""
        if os.getpid() != self._owner or self._requests.closed:
            return
        with suppress(OSError):  # the supervisor is gone
            self._requests.write(json.dumps({"op": "quit", "grace": grace}).encode() + b"\n")
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(30)
        self._requests.close()
        self._answers.close()


class NotReady(Exception):  # noqa: N818 (a state, not a failure)
    """Raised by a readiness probe: the server is not ready yet. The text says why."""


def _pause(began: float) -> None:
    """Sleep until the next look at a server: looks cost processor time, of which its start needs much."""
    time.sleep(min(max(_FIRST_PAUSE, (time.monotonic() - began) / 10), _LONGEST_PAUSE))


def _describe_exit(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
