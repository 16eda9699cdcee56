"""A real Chromium for the tests of the console, from package registries alone, kept in `.cache`.

A Chromium of the system is used where there is one. Otherwise npm's `@sparticuz/chromium` brings one that needs no
root. Playwright's own browser is on a server that many machines do not reach.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from support.parts import MissingPartError

ROOT: Final = Path(__file__).resolve().parents[2]
CACHE: Final = ROOT / ".cache" / "browser"
PACKAGES: Final = {"chromium": "@sparticuz/chromium@153.0.0", "axe": "axe-core@4.14.1"}
OF_THE_SYSTEM: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb")
UNPACK: Final = """
const zlib = require("zlib"), fs = require("fs");
fs.writeFileSync(process.argv[2], zlib.brotliDecompressSync(fs.readFileSync(process.argv[1])));
"""
HELP: Final = (
    "Install a Chromium (Debian: apt-get install chromium), or node and npm with a registry that this machine "
    "reaches (apt-get install npm); then run the tests again."
)


@cache
def executable() -> Path:
    """The program; fetched at the first call. Raises `MissingPartError`, which says what to install."""
    for name in OF_THE_SYSTEM:
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    program = CACHE / "chromium" / "chromium"
    if not program.exists():
        with _making(program.parent) as folder:
            _unpack(_package("chromium"), folder)
    return program


def environment() -> dict[str, str]:
    """The environment in which the program runs: the libraries that a bare system lacks lie beside it."""
    libraries = ":".join(str(path) for path in sorted((CACHE / "chromium").glob("*/lib")))
    paths = ":".join(filter(None, (libraries, os.environ.get("LD_LIBRARY_PATH", ""))))
    return {**os.environ, "LD_LIBRARY_PATH": paths} if paths else dict(os.environ)


@cache
def axe() -> str:
    """The source of axe-core, which finds faults of accessibility. Raises `MissingPartError`."""
    source = CACHE / "axe" / "axe.min.js"
    if not source.exists():
        with _making(source.parent) as folder:
            shutil.copy(_package("axe") / "axe.min.js", folder)
    return source.read_text("utf-8")


@contextmanager
def _making(folder: Path) -> Iterator[Path]:
    """A folder that gets its name once it is whole: two test processes may fetch at the same time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        whole = Path(made) / "whole"
        whole.mkdir()
        yield whole
        try:
            whole.rename(folder)
        except OSError:
            if not folder.exists():
                raise


@cache
def _package(name: str) -> Path:
    """The unpacked npm package."""
    folder = Path(tempfile.mkdtemp(prefix="jobstatus-npm-"))
    npm = shutil.which("npm")
    if npm is None:
        raise MissingPartError(f"the tests need {PACKAGES[name]}, and there is no npm.\n{HELP}")
    done = subprocess.run(
        [npm, "pack", "--json", "--silent", PACKAGES[name]], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise MissingPartError(f"the tests need {PACKAGES[name]}, and npm did not bring it: {done.stderr}\n{HELP}")
    with tarfile.open(folder / json.loads(done.stdout)[0]["filename"]) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


def _unpack(package: Path, folder: Path) -> None:
    """Take the program and its libraries out of the package's archives."""
    node = shutil.which("node")
    if node is None:
        raise MissingPartError(f"the tests need node beside npm, and there is none.\n{HELP}")
    for archive in sorted((package / "bin").glob("*.br")):
        plain = folder / archive.name.removesuffix(".br")
        subprocess.run([node, "-e", UNPACK, str(archive), str(plain)], check=True)
        if plain.suffix == ".tar":
            with tarfile.open(plain) as inside:
                inside.extractall(folder / plain.stem, filter="tar")
            plain.unlink()
    (folder / "chromium").chmod(0o755)
    for path in (folder / "swiftshader").glob("*.so*"):
        shutil.copy(path, folder)
