"""How the threads of the application wake the sender's thread."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue


class Wakeups:
    """Takes no lock, so a signal handler may wake the sender, whatever it interrupts."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[None] = SimpleQueue()
        self.needed = False
        """whether the sender sleeps until it is woken: a call that accepts an event then has to wake it"""

    def wake(self) -> None:
        """End the present sleep, or the next one. Never blocks."""
        self._calls.put(None)

    def sleep(self, seconds: Callable[[], float | None]) -> None:
        """Block for `seconds()`, or until `wake`; None is without a bound."""
        # before the sleeper looks for work: an event that is accepted after that look wakes it
        self.needed = True
        bound = seconds()
        # with a bound it wakes by itself, so the calls need not pay for it
        self.needed = bound is None
        try:
            self._calls.get(timeout=bound)
            # hundreds of calls may have woken it while it had lost the interpreter, and more may do so all the time
            for _ in range(self._calls.qsize()):
                self._calls.get_nowait()
        except Empty:
            return
        finally:
            self.needed = False
