"""`os.fork`, which waits for a moment while the threads of a new Kafka client start.

Each thread of librdkafka draws a random number when it first connects, and OpenSSL takes a lock of the whole process
for it. A child that is forked at that moment inherits the lock taken, and has no thread that could release it. Every
client that the child makes then hangs before its first connection, without an error. Nine of about 25,000 children did
that were forked within milliseconds of a client's start; glibc's lock (`dns_after_fork.py`) is mostly taken then, too.

The wait is not in a hook of `os.register_at_fork`: Python drops what a signal's handler raises in a hook.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from jobstatus_producer.process.state import STATE

START_SECONDS: Final = 1.0
"""A fork waits no longer for a client than this after its start. Without a broker its threads are quiet long before."""
LOOK_SECONDS: Final = 0.005


def note_client_start(client: object) -> None:
    """The threads of `client`, a Kafka client, are about to start: a fork waits for them, for `START_SECONDS`."""
    STATE.new_clients[id(client)] = time.monotonic() + START_SECONDS
    if os.fork is not STATE.our_fork:
        STATE.real_fork = os.fork
        STATE.our_fork = os.fork = _waiting(os.fork)


def note_client_quiet(client: object) -> None:
    """The client has found its broker, or is closed."""
    STATE.new_clients.pop(id(client), None)


def after_fork() -> None:
    """This is a child, which has none of its parent's clients."""
    STATE.new_clients.clear()


def uninstall() -> None:
    """Put the real function back, unless another package has replaced ours."""
    if os.fork is STATE.our_fork:
        os.fork = STATE.real_fork


def wait_for_new_clients(
    clock: Callable[[], float] = time.monotonic, pause: Callable[[float], object] = time.sleep
) -> None:
    """Block until no client is starting any more. Takes no lock: a signal's handler may fork."""
    while any(until > clock() for until in tuple(STATE.new_clients.values())):
        pause(LOOK_SECONDS)


def _waiting(fork: Callable[[], int]) -> Callable[[], int]:
    """A function that waits and then calls `fork`, whatever else is installed later.

    Another package may have replaced ours and call it. One function that calls the newest would then call itself.
    """

    def wait_and_fork() -> int:
        """Fork a child process. Return 0 in the child and the child's process id in the parent."""
        wait_for_new_clients()
        return fork()

    return wait_and_fork
