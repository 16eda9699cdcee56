"""Programs of Debian that the tests need. As root on Debian a missing one is installed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from typing import Final

from support.pages import ROOT
from support.parts import MissingPartError

INSTALL_SECONDS: Final = 300
_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin"


def program(command: str, name: str, package: str) -> str:
    """The path of a program. Raises `MissingPartError` if it is not there and cannot be installed."""
    if _path(command) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install(command, package)
    found = _path(command)
    if found is None:
        raise MissingPartError(
            f"the tests need {name}, which is not on this machine.\n"
            f"Install it, on Debian with `apt-get install {package}`; then run the tests again."
        )
    return found


def _install(command: str, package: str) -> None:
    """Install a package; apt refuses to run twice at the same time, and each process of the tests may want another."""
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with (cache / "apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _path(command) is not None:
            return
        waiting = ["-o", f"DPkg::Lock::Timeout={INSTALL_SECONDS}"]
        install = ["apt-get", *waiting, "install", "-y", "-qq", "--no-install-recommends", package]
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for step in (["apt-get", "update", "-qq"], install):
            subprocess.run(step, env=environ, capture_output=True, timeout=2 * INSTALL_SECONDS, check=False)


def _path(command: str) -> str | None:
    return shutil.which(command, path=_PATH)
