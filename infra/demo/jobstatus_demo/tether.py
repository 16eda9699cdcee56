"""A child process that ends with its parent, even if the parent is killed with SIGKILL (Linux).

    python -m jobstatus_demo.tether PARENT PROGRAM [ARGUMENT ...]

runs PROGRAM in this process. The kernel keeps the parent-death signal over `exec`, so PROGRAM needs no change.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

from jobstatus_local.supervisor import prctl

PR_SET_PDEATHSIG: Final = 1


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when `parent` ends. End now if `parent` has already ended."""
    if sys.platform == "linux":
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main(parent: str, program: str, *arguments: str) -> None:
    """Become `program`. Does not return."""
    die_with(int(parent))
    os.execv(program, [program, *arguments])  # noqa: S606 - the program is our own command


if __name__ == "__main__":
    main(*sys.argv[1:])
