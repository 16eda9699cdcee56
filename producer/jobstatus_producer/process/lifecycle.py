"""What a producer asks of its process: to be told of forks, of SIGTERM and of the end, while it is open."""

from __future__ import annotations

from jobstatus_producer.process import end, forks, signals
from jobstatus_producer.process.dns_after_fork import LOOKUP_CHECK
from jobstatus_producer.process.state import STATE, Registered


def register(producer: Registered) -> None:
    """From now until `unregister` the producer is told of forks, of SIGTERM and of the end of the process."""
    STATE.producers.append(producer)
    forks.install_hooks()
    started_here()
    signals.install()


def unregister(producer: Registered) -> None:
    """The producer is closed. After the last one SIGTERM is the application's again."""
    if producer in STATE.producers:
        STATE.producers.remove(producer)
    if not STATE.producers:
        signals.uninstall()


def started_here() -> None:
    """A producer begins to work in this process, which may be a forked child. May block for 1 s, once in a child."""
    LOOKUP_CHECK.run()
    end.ask_for_end_of_child()
