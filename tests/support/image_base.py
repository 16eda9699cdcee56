"""A base for the image, made on this machine: a registry of images is not within everybody's reach.

It is Debian by debootstrap, with the Python that runs the tests in /usr/local. So it has the layout of the official
image: pip beside the standard library, and nothing compiled.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from support.installed import program
from support.installing import ROOT, run
from support.parts import MissingPartError

LIBRARIES: Final = (
    *("ca-certificates", "netbase", "tzdata", "libssl3", "libffi8", "libsqlite3-0", "zlib1g", "libbz2-1.0"),
    *("liblzma5", "libreadline8", "libncursesw6", "libuuid1", "libexpat1"),
)
"""What CPython is linked with, as Debian 12 names it."""
COMPILER: Final = ("gcc", "libc6-dev")
"""What the image that compiles has besides."""
LEFT_OUT: Final = ("test", "tests", "__pycache__", "libpython*.a", "site-packages")
MAKING_SECONDS: Final = 1200


def base_archive(*, compiler: bool = False) -> Path:
    """The base's files as an archive, made the first time only; with `compiler`, those of the image that compiles.

    May block for minutes.

    Raises `MissingPartError`, which stops the session, where it cannot be made.
    """
    _refuse_elsewhere()
    name = f"{platform.python_version()}{'-compiler' if compiler else ''}.tar"
    found = ROOT / ".cache" / "image-base" / name
    found.parent.mkdir(parents=True, exist_ok=True)
    if not found.exists():
        with tempfile.TemporaryDirectory(dir=found.parent) as folder:
            _make(Path(folder) / "root", (*LIBRARIES, *COMPILER) if compiler else LIBRARIES)
            run(["tar", "-C", Path(folder) / "root", "-cf", Path(folder) / "made", "."])
            os.rename(Path(folder) / "made", found)
    return found


def _refuse_elsewhere() -> None:
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME")
    if os.geteuid() != 0 or codename != "bookworm" or sys.base_prefix == "/usr":
        raise MissingPartError(
            "the tests of the image make its base themselves, which needs root, Debian 12, and a Python in a folder of "
            "its own.\nWhere a registry of images is reached, use its images: "
            "make image-test PYTHON_IMAGE=... BUILD_IMAGE=..."
        )


def _make(root: Path, packages: Iterable[str]) -> None:
    command = [program("debootstrap"), "--variant=minbase", f"--include={','.join(packages)}", "bookworm", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=MAKING_SECONDS, check=False)
    if done.returncode != 0:
        raise MissingPartError(f"debootstrap could not make a base for the image:\n{done.stdout[-2000:]}")
    for folder in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(root / folder)
        (root / folder).mkdir()
    _copy_python(root / "usr" / "local")
    run(["ldconfig", "-r", root])
    run(
        ["chroot", root, "/usr/local/bin/python", "-B", "-m", "ensurepip"],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )


def _copy_python(into: Path) -> None:
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base, ignored = Path(sys.base_prefix), shutil.ignore_patterns(*LEFT_OUT)
    shutil.copytree(sysconfig.get_path("stdlib"), into / "lib" / name, ignore=ignored, symlinks=True)
    (into / "lib" / name / "site-packages").mkdir()
    for library in (base / "lib").glob("libpython*.so*"):
        shutil.copy2(library, into / "lib", follow_symlinks=False)
    shutil.copytree(base / "include" / name, into / "include" / name)
    shutil.copy2(base / "bin" / name, into / "bin" / name)
    for link in ("python", "python3"):
        (into / "bin" / link).symlink_to(name)
