"""An open producer registers for forks, for SIGTERM and for the end of its process."""

from __future__ import annotations

from jobstatus_producer.process import end, forks, signals
from jobstatus_producer.process.dns_after_fork import LOOKUP_CHECK
from jobstatus_producer.process.state import STATE, Registered


def register(producer: Registered) -> None:
    """Call the producer at forks, at SIGTERM and at the end of the process, until `unregister`. May block for 1 s."""
    STATE.producers.append(producer)
    forks.install_hooks()
    started_here()
    signals.install()


def unregister(producer: Registered) -> None:
    """Remove a closed producer. After the last one the application's SIGTERM handler is put back."""
    if producer in STATE.producers:
        STATE.producers.remove(producer)
    if not STATE.producers:
        signals.uninstall()


def started_here() -> None:
    """Prepare the process in which a producer begins to work, such as a forked child. May block for 1 s there, once."""
    LOOKUP_CHECK.run()
    end.ask_for_end_of_child()
