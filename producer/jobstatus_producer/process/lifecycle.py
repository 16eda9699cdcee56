"""An open producer registers for forks, for signals and for the end of its process."""

from __future__ import annotations

from jobstatus_producer.process import end, forks, os_exit, os_fork, signals, uvicorn_end
from jobstatus_producer.process.dns_after_fork import LOOKUP_CHECK
from jobstatus_producer.process.state import STATE, Registered


def register(producer: Registered) -> None:
    """Call the producer at forks, at SIGTERM and at the end of this process, until `unregister`.

    To be called when it begins to work, and again when it does in a forked child: there a framework may have changed
    what ends the process. May block for 1 s in a forked child, once.
    """
    if producer not in STATE.producers:
        STATE.producers.append(producer)
    forks.install_hooks()
    LOOKUP_CHECK.run()
    end.ask_for_end_of_child()
    signals.install()
    uvicorn_end.install()
    os_exit.install()


def unregister(producer: Registered) -> None:
    """Remove a closed producer. After the last one the SIGTERM handler, `os._exit` and `os.fork` are put back."""
    if producer in STATE.producers:
        STATE.producers.remove(producer)
    if not STATE.producers:
        signals.uninstall()
        os_exit.uninstall()
        os_fork.uninstall()
