"""A child that ends with its parent, even if the parent is killed with SIGKILL (Linux)."""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

from jobstatus_local.guard import prctl

PR_SET_PDEATHSIG: Final = 1


def die_with(parent: int) -> None:
    """Be killed by the kernel as soon as `parent` is gone; end at once where it is gone already."""
    if sys.platform == "linux":
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
