"""Programs of Debian that the tests need. As root on Debian a missing one is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Final

from support.parts import MissingPartError

INSTALL_SECONDS: Final = 300
_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin"


def program(command: str, name: str, package: str) -> str:
    """The path of a program. Raises `MissingPartError` if it is not there and cannot be installed."""
    found = shutil.which(command, path=_PATH)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        for step in (["apt-get", "update", "-qq"], install):
            subprocess.run(step, capture_output=True, timeout=INSTALL_SECONDS, check=False)
        found = shutil.which(command, path=_PATH)
    if found is None:
        raise MissingPartError(
            f"the tests need {name}, which is not on this machine.\n"
            f"Install it, on Debian with `apt-get install {package}`; then run the tests again."
        )
    return found
