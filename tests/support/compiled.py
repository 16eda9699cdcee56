"""The modules of the codec, compiled as the compiled wheel has them, but without the compiler's optimizations.

That takes a quarter of the time. They are kept in `.cache` until a source, the compiler's Python or mypy changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Final

from support.installing import ROOT, run

HOOK: Final = ROOT / "hatch_build.py"
UNOPTIMIZED: Final = "0"
KEPT: Final = ROOT / ".cache" / "compiled-codec"


def compiled_modules() -> list[str]:
    """The modules that the compiled wheel has compiled, as pyproject.toml lists them."""
    hooks = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    found: list[str] = hooks["hooks"]["custom"]["modules"]
    return found


def with_compiled_codec(folder: Path) -> Path:
    """Copy the package with the schemas, with its modules compiled, into `folder`. Compiles at the first call only."""
    shutil.copytree(_compiled(), folder, dirs_exist_ok=True)
    package = "jobstatus_schemas"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "schemas" / package, folder / package, dirs_exist_ok=True, ignore=ignored)
    return folder


def _compiled() -> Path:
    modules = [module for module in compiled_modules() if module.startswith("schemas/")]
    sources = b"".join((ROOT / name).read_bytes() for name in (*modules, HOOK.name))
    tools = sys.version + version("mypy") + version("setuptools")
    found = KEPT / hashlib.sha256(sources + tools.encode()).hexdigest()[:16]
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.is_dir():
            with tempfile.TemporaryDirectory(dir=KEPT) as folder:
                run([sys.executable, HOOK, f"{folder}/built", UNOPTIMIZED, *modules], cwd=ROOT)
                os.rename(f"{folder}/built", found)
    return found
