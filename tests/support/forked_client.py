"""The program `jobstatus` of a shell in a test: a fork of the server runs the command, with this process's streams.

forked_client.py <socket of the server> <argument> ...

A shell starts its commands itself. This one costs a hundredth of what importing the command costs. It takes on the end
of the fork, and hands the signals on that a shell sends.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
from pathlib import Path

LENGTH = struct.Struct("=I")
HANDED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def main(path: str, *arguments: str) -> int:
    """The exit code of the command."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)
    ended, theirs = os.pipe()
    pid = _fork(path, ["jobstatus", *arguments], theirs)
    os.close(theirs)
    for number in HANDED_ON:
        signal.signal(number, lambda received, _: os.kill(pid, received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
    code = os.waitstatus_to_exitcode(*LENGTH.unpack(os.read(ended, LENGTH.size)))
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _fork(path: str, argv: list[str], result: int) -> int:
    wanted = {"argv": argv, "environ": dict(os.environ), "folder": str(Path.cwd()), "new_session": False}
    request = json.dumps(wanted).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        socket.send_fds(server, [LENGTH.pack(len(request))], [0, 1, 2, result])
        server.sendall(request)
        return int(LENGTH.unpack(server.recv(LENGTH.size))[0])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
