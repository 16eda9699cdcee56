"""Installing the distribution elsewhere, without a registry: wheels are fetched once into `.cache` and kept there."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.parts import MissingPartError

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements" / "consumer.txt"
RUN_SECONDS = 240.0


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = RUN_SECONDS,
) -> str:
    """What the command printed. The test fails with all its output if it did not exit with 0."""
    done = subprocess.run(
        [str(part) for part in command],
        env=None if env is None else dict(env),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def wheelhouse(requirements: Path = REQUIREMENTS) -> Path:
    """The wheels of a requirement file, each checked against its hash; fetched the first time only.

    Raises `MissingPartError`, which stops the session, if they cannot be fetched.
    """
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    cache = ROOT / ".cache" / "wheels"
    cache.mkdir(parents=True, exist_ok=True)
    found = cache / wanted
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.is_dir():
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
                options: list[str | Path] = [
                    "-q",
                    "--require-hashes",
                    "--only-binary=:all:",
                    "-r",
                    requirements,
                    "-d",
                    f"{folder}/wheels",
                ]
                _download([*pip, "download", *options], requirements)
                os.rename(f"{folder}/wheels", found)
    return found


def _download(command: Sequence[str | Path], requirements: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    if done.returncode != 0:
        raise MissingPartError(
            f"the tests need the wheels of {requirements.relative_to(ROOT)}, and pip could not download them:\n"
            f"{done.stderr.strip()}\nCheck the package index in pip's configuration, then run the tests again."
        )


def offline() -> dict[str, str]:
    """An environment in which pip uses only the wheelhouse, without settings of ours or of the user."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    return {
        **kept,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": wheelhouse().as_uri(),  # pip splits this at spaces, which a path may hold
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PYTHONNOUSERSITE": "1",
    }


def make_venv(folder: Path) -> Path:
    """An empty virtual environment without pip of its own (the checkout's pip installs into it); its interpreter."""
    run([sys.executable, "-m", "venv", "--without-pip", folder])
    return folder / "bin" / "python"


def install(python: Path, *what: str | Path) -> None:
    """Install into the environment of `python` from the wheelhouse alone.

    A module is compiled when it is imported: most of what is installed never is.
    """
    run([sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile", *what], env=offline())
