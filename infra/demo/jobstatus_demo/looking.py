"""The console over what a run has left, for as long as a person looks at it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from jobstatus_demo.children import Child, wait_until
from jobstatus_demo.command import jobstatus

START_SECONDS: Final = 120.0
LOOK_EVERY: Final = 0.2
_ADDRESS: Final = re.compile(r"the console is at (\S+)")


def hold(env: Mapping[str, str], folder: Path, say: Callable[[str], None]) -> None:
    """Serve the console until Ctrl-C, and print its address. Raises `DemoError` if it does not start."""
    log = folder / "console.log"
    arguments = ["console", "--console-address", "127.0.0.1:0", "--verify-every", "1m", "--show-values"]
    child = Child("jobstatus_demo.tether", [jobstatus(), *arguments], env, log)
    try:
        wait_until("the console", START_SECONDS, lambda: _address(log) is not None, child.ended, log)
        say(f"look at it in a browser: {_address(log)}")
        say("Ctrl-C ends the servers and removes what they have")
        while not child.ended():
            time.sleep(LOOK_EVERY)
    except KeyboardInterrupt:
        say("ending")
    finally:
        child.end()


def _address(log: Path) -> str | None:
    found = _ADDRESS.search(log.read_text("utf-8", "replace"))
    return None if found is None else found[1]
