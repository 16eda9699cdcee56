"""The command `jobstatus`, run as a process: the demo uses the product as its users do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from typing import Final

from jobstatus_demo.errors import DemoError

RUN_SECONDS: Final = 120.0
"""The longest that one command may take; it has bounds of its own below this."""


def jobstatus() -> str:
    """The path of the command that belongs to this Python. Raises `DemoError` if there is none."""
    folders = [os.path.dirname(sys.executable), sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]
    found = shutil.which("jobstatus", path=os.pathsep.join(folders))
    if found is None:
        raise DemoError(
            "the command jobstatus was not found, so the demo did not run; type: pip install 'jobstatus[local]'"
        )
    return found


def run_jobstatus(env: Mapping[str, str], *arguments: str) -> None:
    """Run one command to its end. Blocks for at most 120 s.

    Raises `DemoError` with the command's own message and its exit code if it failed.
    """
    try:
        done = subprocess.run(
            [jobstatus(), *arguments],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=RUN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DemoError(f"`jobstatus {' '.join(arguments)}` did not end within {RUN_SECONDS:.0f} s") from None
    if done.returncode != 0:
        raise DemoError(done.stderr.strip().removeprefix("jobstatus: "), 2 if done.returncode == 2 else 1)
