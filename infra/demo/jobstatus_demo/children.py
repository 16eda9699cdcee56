"""The demo's child processes: sixteen workers, and two consumers, one after the other."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, cast

from jobstatus_local.errors import describe_log

from jobstatus_demo.command import jobstatus
from jobstatus_demo.errors import DemoError
from jobstatus_demo.worker import Assignment, Work

GRACE_SECONDS: Final = 30.0
READY_SECONDS: Final = 120.0
LOOK_EVERY: Final = 0.02


class Child:
    """A Python module in a process of its own. It ends with the demo, even if the demo is killed.

    It has a session of its own, so that Ctrl-C reaches only the demo, which ends its children itself.
    """

    def __init__(self, module: str, arguments: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        """Start it. The module gets our process id before its `arguments`; its stderr goes to `log`."""
        self.log = log
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                # -P: a module in the user's folder must not replace one of ours
                [sys.executable, "-P", "-m", module, str(os.getpid()), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=env,
                start_new_session=True,
            )
        self.stdin = cast("IO[bytes]", self._process.stdin)
        self.stdout = cast("IO[bytes]", self._process.stdout)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ended(self) -> bool:
        """True once it has exited with 0; raises `DemoError` if it ended in another way."""
        code = self._process.poll()
        if code:
            raise DemoError(f"a process of the demo ended with {code}\n{describe_log(self.log)}")
        return code == 0

    def kill(self) -> None:
        """Send SIGKILL and wait until the process is gone."""
        self._process.kill()
        self._process.wait()
        self._close()

    def terminate(self) -> str:
        """Send SIGTERM and return what it printed; raises `DemoError` if it does not exit with 0 within 30 s."""
        self._process.send_signal(signal.SIGTERM)
        try:
            printed, _ = self._process.communicate(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            raise DemoError(f"a process did not end within {GRACE_SECONDS:.0f} s\n{describe_log(self.log)}") from None
        self.ended()
        return printed.decode()

    def end(self) -> None:
        """End it whatever its state is: SIGTERM, and SIGKILL after 30 s."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._close()

    def _close(self) -> None:
        for pipe in (self.stdin, self.stdout):
            try:
                pipe.close()
            except OSError:
                continue  # it holds bytes that the child will never read


class Workers:
    """All workers of one part; a context manager. They are ready on entry and gone on exit."""

    def __init__(self, assignments: Sequence[Assignment], env: Mapping[str, str], folder: Path) -> None:
        self._assignments = assignments
        self._env = env
        self._folder = folder
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _start(self) -> None:
        for assignment in self._assignments:
            path = self._folder / f"{assignment.way}-{assignment.name}.json"
            assignment.save(path)
            log = path.with_suffix(".log")
            self._children.append(Child("jobstatus_demo.worker", [str(path)], self._env, log))
        deadline = time.monotonic() + READY_SECONDS
        for child in self._children:
            if not select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise DemoError(f"a worker was not ready within {READY_SECONDS:.0f} s\n{describe_log(child.log)}")
            if child.stdout.readline() != b"ready\n":
                raise DemoError(f"a worker did not start\n{describe_log(child.log)}")

    def _end(self) -> None:
        for child in self._children:
            child.end()

    def go(self) -> None:
        """Let all workers begin."""
        for child in self._children:
            child.stdin.write(b"go\n")
            child.stdin.flush()

    def done(self) -> bool:
        """True once all have exited with 0; raises `DemoError` if one ended in another way."""
        ended = [child.ended() for child in self._children]  # of each one, so that a failure is reported at once
        return all(ended)

    def results(self) -> list[Work]:
        """What each worker did."""
        return [Work(**json.loads(Path(item.result).read_text(encoding="utf-8"))) for item in self._assignments]


class Consumer:
    """`jobstatus consume`, started, killed and started again; a context manager that leaves no process behind."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        self._env = env
        self.log = log
        self._child: Child | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None:
            self._child.end()

    def start(self) -> None:
        """Start it; the process before it must be gone."""
        arguments = [jobstatus(), "consume", "--json", "--http-address", "off"]
        # the broker waits so long for the member that was killed; brokers allow no less than 6 s by default
        arguments += ["--kafka", "group.protocol=classic", "--kafka", "session.timeout.ms=6000"]
        self._child = Child("jobstatus_demo.tether", arguments, self._env, self.log)

    def kill(self) -> None:
        """Send SIGKILL: it writes and commits nothing more."""
        self._running().kill()

    def stop(self) -> dict[str, Any]:
        """Send SIGTERM and return the summary that it prints."""
        summary: dict[str, Any] = json.loads(self._running().terminate())
        return summary

    def check(self) -> None:
        """Raise `DemoError` if it has ended by itself."""
        if self._running().ended():
            raise DemoError(f"the consumer ended by itself\n{describe_log(self.log)}")

    def _running(self) -> Child:
        if self._child is None:
            raise DemoError("the consumer was not started")
        return self._child


def wait_until(
    what: str, seconds: float, there: Callable[[], bool], meanwhile: Callable[[], object], log: Path | None = None
) -> None:
    """Block until `there()` is true, calling `meanwhile` in between.

    Raises `DemoError` after `seconds`, with the end of the `log`, and everything that `meanwhile` raises.
    """
    deadline = time.monotonic() + seconds
    while not there():
        meanwhile()
        if time.monotonic() > deadline:
            end = f"\n{describe_log(log)}" if log is not None else ""
            raise DemoError(f"{what}: not within {seconds:.0f} s{end}")
        time.sleep(LOOK_EVERY)
