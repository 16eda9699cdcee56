"""Whether a forked process can look up addresses: one that was forked in the middle of a lookup never can.

glibc takes a lock while it asks the kernel for the machine's addresses. A child that is forked at that moment inherits
the lock taken, and has no thread that could release it. Every later lookup in the child blocks without end, and so
does every connect of librdkafka.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from jobstatus_producer.log import logger

LOOKUP_SECONDS: Final = 1.0


def _look_up() -> None:
    """A lookup that asks no name server."""
    with suppress(OSError):
        # AI_ADDRCONFIG, which librdkafka sets too, makes glibc ask the kernel
        socket.getaddrinfo("127.0.0.1", None, flags=socket.AI_ADDRCONFIG | socket.AI_NUMERICHOST)


class LookupCheck:
    """Does a test lookup after a fork, and logs an error if it does not end."""

    def __init__(self, look_up: Callable[[], object] = _look_up, seconds: float = LOOKUP_SECONDS) -> None:
        self._look_up = look_up
        self._seconds = seconds
        self._due = False

    def after_fork(self) -> None:
        """This is a child: nothing is known of it until the next `run`."""
        self._due = True

    def run(self) -> None:
        """Check a forked process until a check has succeeded. Blocks for up to `seconds`, while a check is due."""
        if not self._due:
            return
        if self._works():
            self._due = False
            return
        logger.error(
            "this process cannot connect to a broker: it was forked while a thread of its parent looked up an address, "
            "and glibc's lock for lookups stays taken. Its events stay in its spool; without a spool close() raises "
            "them. Restart the process. To prevent this, make the producer after the fork, or use the start method "
            "spawn"
        )

    def _works(self) -> bool:
        thread = threading.Thread(target=self._look_up, name="jobstatus-lookup", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # there are too many threads, or the interpreter ends: without a test there is nothing to report
            return True
        thread.join(self._seconds)
        return not thread.is_alive()


LOOKUP_CHECK: Final = LookupCheck()
