"""The child process that asks a group's coordinator, as its parent sees it: pipes, one question at a time, its end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from jobstatus_schemas.masking import masked

SCRIPT: Final = Path(__file__).with_name("coordinator_child.py")
END_SECONDS: Final = 1.0
"""How long a child may take to end by itself."""
LAST_WORDS: Final = 2000
"""Bytes of its stderr that are kept for the log."""


class ChildEndedError(Exception):
    """The child has ended, was ended because it gave no answer, or could not be started."""


class AskingChild:
    """One child process with its pipes. For one thread, but for `end`.

    Making it raises `ChildEndedError` if the process cannot be started.
    """

    def __init__(self, properties: dict[str, Any]) -> None:
        self.properties = properties
        self._process = _started()
        pipes: Any = self._process  # whose annotations say that they may be None
        self._in, self._out, self._err = pipes.stdin, pipes.stdout, pipes.stderr
        # a process that the child has started may keep it open
        os.set_blocking(self._err.fileno(), False)
        self._poll = select.poll()
        for stream in (self._out, self._err):
            self._poll.register(stream, select.POLLIN)
        self._read = b""
        self._last_words = b""
        self._write({"path": sys.path, "properties": properties})

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, question: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The answer; raises `ChildEndedError`, and ends a child that gives none in time."""
        self._write(question)
        deadline = time.monotonic() + seconds
        while b"\n" not in self._read:
            ready = self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            if not ready:
                self._process.kill()
                raise ChildEndedError(f"gave no answer within {seconds:g} s and was ended")
            self._take([number for number, _ in ready])
        line, _, self._read = self._read.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def _write(self, document: dict[str, Any]) -> None:
        try:
            self._in.write(json.dumps(document).encode() + b"\n")
            self._in.flush()
        except (BrokenPipeError, ValueError):
            raise self._ended() from None

    def _take(self, numbers: list[int]) -> None:
        if self._err.fileno() in numbers and not self._take_words():
            self._poll.unregister(self._err)
        if self._out.fileno() in numbers:
            data = os.read(self._out.fileno(), 65_536)
            if not data:
                raise self._ended()
            self._read += data

    def _take_words(self) -> bool:
        try:
            data = os.read(self._err.fileno(), 65_536)
        except BlockingIOError:
            return False
        self._last_words = (self._last_words + data)[-LAST_WORDS:]
        return bool(data)

    def _ended(self) -> ChildEndedError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        while self._take_words():
            pass
        words = masked(self._last_words.decode(errors="replace").strip())
        return ChildEndedError(f"has ended ({_how(self._process.poll())})" + (f": {words}" if words else ""))

    def end(self) -> None:
        """Have it end, and wait for that. For any thread; a question that waits for an answer ends with it."""
        with suppress(BrokenPipeError):
            self._in.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def forget(self) -> None:
        """Close the pipes, once it has ended and nobody asks it."""
        for stream in (self._in, self._out, self._err):
            stream.close()


def _started() -> subprocess.Popen[bytes]:
    # -P: the folder of the script is no place to import from
    command = [sys.executable, "-P", str(SCRIPT)]
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
    except OSError as error:  # the limit of processes or of open files, or no memory
        raise ChildEndedError(f"cannot be started ({error.strerror})") from None


def _how(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
