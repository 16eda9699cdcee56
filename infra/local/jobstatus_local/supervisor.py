"""The process between us and the servers: it owns the servers, and ends them when our process is gone.

It runs as a script, with the standard library only. Each line of stdin is a request as a JSON object; the answer with
the same "id" goes to stdout:

    {"op": "start", "name", "argv", "env", "log", "user", "group", "stop_signal"}  ->  {"pid"} or {"error"}
    {"op": "signal", "name", "signal"}                                             ->  {"sent"}
    {"op": "poll", "name"}                                                         ->  {"code"} (null: it runs)

The end of stdin means that our process is gone, even by SIGKILL. So does another parent process than the one that
started the supervisor: a forked child of ours may still hold the pipe open. Then every server gets its stop signal,
after a grace SIGKILL, and the folders named on the command line are removed. {"op": "quit", "grace": seconds} ends the
servers too, but leaves the folders to us.

On Linux the supervisor adopts and kills the processes that a dead server leaves behind (the backends of a killed
postmaster). If the supervisor itself is killed, the kernel sends SIGKILL to the servers.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

GRACE_SECONDS = 3.0
AFTER_KILL_SECONDS = 10.0
PARENT_CHECK_SECONDS = 0.25
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LINUX = sys.platform == "linux"
_LIBC = ctypes.CDLL(None)


class Supervisor:
    """The servers by name. It has one thread."""

    def __init__(self, parent: int) -> None:
        self.parent = parent
        self.pid = os.getpid()
        self.servers: dict[str, subprocess.Popen[bytes]] = {}
        self.stop_signals: dict[str, int] = {}
        if _LINUX:
            prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["op"] == "start":
            return self.start(request)
        server = self.servers[request["name"]]
        if request["op"] == "signal":
            running = self.poll(request["name"]) is None
            if running:
                server.send_signal(request["signal"])
            return {"sent": running}
        return {"code": self.poll(request["name"])}

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            with open(request["log"], "ab") as log:
                server = subprocess.Popen(
                    request["argv"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env=request["env"],
                    user=request["user"],
                    group=request["group"],
                    extra_groups=None if request["user"] is None else [],
                    start_new_session=True,
                    preexec_fn=self.die_with_supervisor if _LINUX else None,
                )
        except (OSError, subprocess.SubprocessError) as error:
            return {"error": f"{type(error).__name__}: {error}"}
        self.servers[request["name"]] = server
        self.stop_signals[request["name"]] = request["stop_signal"]
        return {"pid": server.pid}

    def die_with_supervisor(self) -> None:
        """Runs in the new process, before the server's program."""
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self.pid:
            os._exit(1)  # the supervisor ended before the line above

    def poll(self, name: str) -> int | None:
        """The server's exit code; None while it, or a process that it left behind, still runs."""
        code = self.servers[name].poll()
        if code is not None and _LINUX and self.kill_strays():
            return None
        return code

    def kill_strays(self) -> bool:
        """Send SIGKILL to the processes that dead servers left behind; True if there were any."""
        known = {server.pid for server in self.servers.values()}
        strays = [pid for pid in children_of(self.pid) if pid not in known]
        for pid in strays:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, os.WNOHANG)
        return bool(strays)

    def stop_all(self, grace: float) -> None:
        for name in self.servers:
            if self.servers[name].poll() is None:
                self.servers[name].send_signal(self.stop_signals[name])
        self.wait_all(grace)
        for server in self.servers.values():
            if server.poll() is None:
                server.kill()
        self.wait_all(AFTER_KILL_SECONDS)

    def wait_all(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while any(self.poll(name) is None for name in self.servers) and time.monotonic() < deadline:
            time.sleep(0.02)

    def serve(self) -> float | None:
        """Answer requests. Returns the grace in seconds when asked to quit, and None when the parent is gone."""
        received = b""
        while os.getppid() == self.parent:
            if not select.select([0], [], [], PARENT_CHECK_SECONDS)[0]:
                continue
            chunk = os.read(0, 1 << 16)
            if not chunk:
                return None
            *lines, received = (received + chunk).split(b"\n")
            for line in lines:
                request = json.loads(line)
                if request["op"] == "quit":
                    return float(request["grace"])
                answer = {"id": request["id"], **self.answer(request)}
                os.write(1, json.dumps(answer).encode() + b"\n")
        return None


def prctl(option: int, value: int) -> None:
    _LIBC.prctl(option, value, 0, 0, 0)


def children_of(parent: int) -> list[int]:
    """The process ids whose parent is this one (Linux)."""
    everything = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [pid for pid in everything if parent_of(pid) == parent]


def parent_of(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[1])
    except OSError:
        return None  # it has just ended


def remove(folder: str) -> None:
    """Remove a folder. Try more than once, because a server that is just ending may still write into it."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(0.1)


def main(parent: int, folders: list[str]) -> None:
    supervisor = Supervisor(parent)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    grace = None
    try:
        grace = supervisor.serve()
    except OSError:
        pass  # no process reads our answers any more
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        supervisor.stop_all(GRACE_SECONDS if grace is None else grace)
        if grace is None:
            for folder in folders:
                remove(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
