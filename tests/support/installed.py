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
PROGRAMS: Final = {
    "pg_ctlcluster": ("PostgreSQL with TLS", "postgresql"),
    "pgbouncer": ("PgBouncer", "pgbouncer"),
    "prometheus": ("Prometheus", "prometheus"),
    "promtool": ("Prometheus' promtool", "prometheus"),
    "redis-server": ("Redis", "redis-server"),
}
"""by command: its name for a person, and Debian's package"""
FOR_LONG_TESTS: Final = {"buildah": ("Buildah", "buildah"), "debootstrap": ("debootstrap", "debootstrap")}
"""The same, for tests marked long alone; nothing else installs them."""
_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin"


def program(command: str) -> str:
    """The path of one of `PROGRAMS` or `FOR_LONG_TESTS`. May block for minutes, while it is installed.

    Raises `MissingPartError` if it is not there and cannot be installed: its tests are never skipped.
    """
    name, package = (PROGRAMS | FOR_LONG_TESTS)[command]
    refusal = ""
    if _path(command) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        refusal = _install(command, package)
    found = _path(command)
    if found is None:
        raise MissingPartError(
            f"the tests need {name}, which is not on this machine.\n{refusal}"
            f"Install it, on Debian with `apt-get install --no-install-recommends {package}`; then run the tests again."
        )
    return found


def _install(command: str, package: str) -> str:
    """Install a package and return what apt refuses. It does not run twice at a time, and each process may want one."""
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with (cache / "apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _path(command) is not None:
            return ""
        install = ["install", "-y", "-qq", "--no-install-recommends", package]
        # a list of packages may be there already, and be new enough
        for step in (install, ["update", "-qq"], install):
            done = _apt(step)
            if step is install and done.returncode == 0:
                return ""
        return f"apt-get could not install it: {done.stderr.strip()}\n"


def _apt(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = ["apt-get", "-o", f"DPkg::Lock::Timeout={INSTALL_SECONDS}", *arguments]
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=2 * INSTALL_SECONDS, check=False
    )


def _path(command: str) -> str | None:
    return shutil.which(command, path=_PATH)
