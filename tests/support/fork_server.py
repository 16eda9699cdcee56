"""Runs the command `jobstatus`, or a Python script, in forks of this process, which has imported everything already.

fork_server.py <descriptor of a socket> <descriptor of a socket that listens>

A request is a JSON object behind its length; with the length come four descriptors: the new process's standard input,
output and error, and a pipe. The answer is the new process's id. When that process ends, its wait status is written to
the pipe. Requests come through the first socket, and each new connection to the second brings one more. The server ends
when the other side closes the first socket; processes that still run then go on.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TextIO

LENGTH = struct.Struct("=I")
ALSO_USED = ("confluent_kafka.admin", "jobstatus_producer", "pythonjsonlogger.json", "rich.progress", "rich.table")


class Request(NamedTuple):
    """What is to run, and with what."""

    argv: list[str]
    environ: dict[str, str]
    folder: str
    new_session: bool
    streams: list[int]


def import_everything() -> None:
    """Import what any command may need, so that its process does not have to."""
    import jobstatus_consumer

    for module in pkgutil.walk_packages(jobstatus_consumer.__path__, "jobstatus_consumer."):
        importlib.import_module(module.name)
    for name in ALSO_USED:
        importlib.import_module(name)
    # objects that no collection looks at stay on pages that the forks share
    gc.collect()
    gc.freeze()


class Server:
    """Forks for each request."""

    def __init__(self, requests: socket.socket, listener: socket.socket) -> None:
        self._requests = requests
        self._listener = listener
        self._ended, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._results: dict[int, int] = {}
        self._events = select.poll()
        for source in (requests, listener, self._ended):
            self._events.register(source, select.POLLIN)

    def serve(self) -> Request | None:
        """Fork until there are no more requests. Returns the request in the fork, and None in the server."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake)
        while True:
            ready = {descriptor for descriptor, _ in self._events.poll()}
            if self._ended in ready:
                os.read(self._ended, 4096)
                _report(self._results)
            if self._listener.fileno() in ready:
                connection, _ = self._listener.accept()
                with connection:
                    if (request := self._take(connection)) is not None:
                        return request
            if self._requests.fileno() in ready:
                header, descriptors, _, _ = socket.recv_fds(self._requests, LENGTH.size, 4)
                if not header:
                    return None
                if (request := self._fork(self._requests, header, descriptors)) is not None:
                    return request

    def _take(self, connection: socket.socket) -> Request | None:
        """What `_fork` returns for the one request of a connection."""
        header, descriptors, _, _ = socket.recv_fds(connection, LENGTH.size, 4)
        return self._fork(connection, header, descriptors) if header else None

    def _fork(self, source: socket.socket, header: bytes, descriptors: list[int]) -> Request | None:
        """In the fork, the request; in the server, None."""
        *streams, result = descriptors
        request = Request(**json.loads(_exactly(source, *LENGTH.unpack(header))), streams=streams)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            ours = (self._requests.detach(), self._listener.detach(), self._ended, self._wake)
            for descriptor in (*ours, result, *self._results.values()):
                os.close(descriptor)
            return request
        self._results[pid] = result
        for descriptor in streams:
            os.close(descriptor)
        source.sendall(LENGTH.pack(pid))
        return None


def _exactly(requests: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        found += requests.recv(count - len(found))
    return found


def _report(results: dict[int, int]) -> None:
    """Write down how each process ended that has ended since the last call."""
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = found
            with suppress(BrokenPipeError):
                os.write(results[pid], LENGTH.pack(status))
            os.close(results.pop(pid))


def become(request: Request) -> None:
    """Make this process what a new one would be."""
    for number, descriptor in enumerate(request.streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if request.new_session:
        os.setsid()
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environ)
    time.tzset()
    sys.argv = request.argv
    more = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [str(Path(request.argv[0]).parent), *(path for path in more if path and path not in sys.path)]
    sys.stdin = _opened(sys.stdin, 0, "r")
    sys.stdout = _opened(sys.stdout, 1, "w")
    sys.stderr = _opened(sys.stderr, 2, "w", line_buffering=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # a suite that runs under nohup ignores it
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _opened(before: TextIO, number: int, mode: str, line_buffering: bool = False) -> Any:
    stream: Any = open(number, mode, encoding=before.encoding, errors=before.errors, closefd=False)  # noqa: SIM115
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    if mode == "w":
        stream.reconfigure(line_buffering=line_buffering or stream.isatty(), write_through=unbuffered)
    return stream


class Leaving:
    """Ends a fork after the last of its exit functions, as the interpreter would, but without taking apart what it has
    imported. That costs more processor time than most commands do.
    """

    def __init__(self) -> None:
        """Called before anything registers an exit function: the first one is called last."""
        self._code: int | None = None
        atexit.register(self._leave)

    def run(self, request: Request) -> None:
        """Do what the request asks for, and note how that ended."""
        at_once = Path(request.argv[0]).name == "jobstatus" and "consume" not in request.argv
        try:
            run(request)
            self._code = 0 if at_once else None
        except SystemExit as ending:
            if at_once and (ending.code is None or isinstance(ending.code, int)):
                self._code = ending.code or 0
            raise

    def _leave(self) -> None:
        if self._code is None:
            return
        # what cannot be written is for the interpreter to report
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self._code & 0xFF)


def run(request: Request) -> None:
    """Do what the arguments ask for, as the interpreter would."""
    if Path(request.argv[0]).name != "jobstatus":
        runpy.run_path(request.argv[0], run_name="__main__")
        return
    from jobstatus_consumer.cli.main import main

    main()


if __name__ == "__main__":
    # an interrupt at the terminal is for the tests
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leaving = Leaving()
    import_everything()
    wanted = Server(*(socket.socket(fileno=int(number)) for number in sys.argv[1:])).serve()
    if wanted is not None:
        become(wanted)
        leaving.run(wanted)
