"""Whether this process can look up addresses: one that was forked in the middle of a lookup never can.

glibc takes a lock while it asks the kernel for the machine's addresses, and does not free it in a forked child, which
has none of the threads that could. Whoever looks up a name there, as librdkafka does to connect, waits for ever.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


def works(seconds: float) -> bool:
    """Whether a lookup that asks no name server ends within `seconds`; one that is under way elsewhere ends before."""
    thread = threading.Thread(target=_look_up, name="jobstatus-lookup", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        # no thread to be had, or the interpreter ends: nothing is known
        return True
    thread.join(seconds)
    return not thread.is_alive()


def _look_up() -> None:
    with suppress(OSError):
        # AI_ADDRCONFIG, which librdkafka gives too, is what makes glibc ask the kernel
        socket.getaddrinfo("127.0.0.1", None, flags=socket.AI_ADDRCONFIG | socket.AI_NUMERICHOST)
