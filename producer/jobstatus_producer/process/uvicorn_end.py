"""uvicorn, which ends its process by a signal that no handler sees.

uvicorn replaces the handler of SIGTERM while it serves. At its end it puts the earlier handler back, and raises the
signal again. In the processes of `--workers` and `--reload`, and in those of gunicorn, that is the default action: the
process is gone at once, without `atexit`. uvicorn reads its list of the signals that it has received just before it
raises them, so that is the moment for the flush.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

from jobstatus_producer.process.signals import flush_now
from jobstatus_producer.process.state import STATE


def install() -> None:
    """Flush before a uvicorn that serves in this process raises a signal again. May be called in any thread."""
    uvicorn = sys.modules.get("uvicorn.server")
    if uvicorn is None:
        return
    for handler in (signal.getsignal(signal.SIGTERM), STATE.previous_sigterm):
        server = getattr(handler, "__self__", None)
        # uvicorn before 0.29 has no such list, and raises no signal again
        if isinstance(server, uvicorn.Server) and type(getattr(server, "_captured_signals", None)) is list:
            server._captured_signals = _Captured(server._captured_signals)


class _Captured(list[int]):
    """The signals that a server of uvicorn has received."""

    def __reversed__(self) -> Iterator[int]:
        # a handler that is there now is the application's, or ours, which flushes by itself
        if any(signal.getsignal(number) is signal.SIG_DFL for number in self):
            flush_now()
        return super().__reversed__()
