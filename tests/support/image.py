"""The image, built by Buildah and run as a container engine runs it: its own user and settings, on a read-only root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from support.docker_files import image_stages
from support.image_base import base_archive
from support.installed import program
from support.installing import REQUIREMENTS, ROOT, run, wheelhouse

BUILD_REQUIREMENTS: Final = ROOT / "requirements" / "build.txt"
TAG: Final = "jobstatus:tested"
BUILD_SECONDS: Final = 1200
PATH: Final = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
READ_ONLY: Final = """
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"
mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev"
root="$1" user="$2"; shift 2
exec chroot --userspec="$user" "$root" "$@"
"""
"""What a container engine does with `--read-only` and `--user`. The program replaces the shell, so it gets signals."""


class Storage(NamedTuple):
    """Buildah's own storage below one folder; nothing of the machine's is touched."""

    folder: Path

    @property
    def settings(self) -> dict[str, str]:
        """The variables that lead Buildah here."""
        return {"CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"), "BUILDAH_ISOLATION": "chroot"}

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, **self.settings}

    def buildah(self, *words: str | Path) -> str:
        """Run Buildah and return what it printed."""
        return run([program("buildah"), *words], env=self.environ, timeout=BUILD_SECONDS).strip()


class BuiltImage(NamedTuple):
    """An image, and a folder with its files."""

    storage: Storage
    root: Path
    config: dict[str, Any]
    """Docker's description of how it is run"""

    def command(self, *words: str, entry: bool = True) -> list[str]:
        """The command line that runs the image's entry point with these words, or the words alone."""
        what = [*(self.config["Entrypoint"] if entry else ()), *words]
        inside = ["/usr/bin/env", "-i", *self.config["Env"]]
        return ["unshare", "--mount", "sh", "-ec", READ_ONLY, "sh", str(self.root), self.config["User"], *inside, *what]

    def run(self, *words: str, entry: bool = True) -> subprocess.CompletedProcess[str]:
        """Run to the end; see `command`."""
        command = self.command(*words, entry=entry)
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def python(self, code: str) -> str:
        """What a Python of the image prints for this code."""
        return run(self.command("python", "-c", code, entry=False)).strip()

    def start(self, words: list[str], environ: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Start the entry point with more settings; what it says goes to a file."""
        more = BuiltImage(self.storage, self.root, {**self.config, "Env": [*self.config["Env"], *_pairs(environ)]})
        with log.open("wb") as out:
            return subprocess.Popen(more.command(*words), stdout=out, stderr=subprocess.STDOUT)


def _pairs(environ: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in environ.items()]


@contextmanager
def built_image(folder: Path) -> Iterator[BuiltImage]:
    """The image, built as `make image` does it, from wheels that are kept here. May block for minutes."""
    storage = _storage(folder)
    images = {name: os.environ.get(name) or _made_base(storage, name) for name in ("PYTHON_IMAGE", "BUILD_IMAGE")}
    _build(storage, images)
    container = storage.buildah("from", "--pull-never", TAG)
    try:
        described = json.loads(storage.buildah("inspect", "--type", "image", TAG))
        root = Path(storage.buildah("mount", container))
        yield BuiltImage(storage, root, described["Docker"]["config"])
    finally:
        storage.buildah("rm", container)
        storage.buildah("rmi", "--all", "--force")


def _storage(folder: Path) -> Storage:
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
    )
    return Storage(folder)


def _made_base(storage: Storage, argument: str) -> str:
    """The name of a new image for an argument of the Dockerfile, with its digest, as a release names one."""
    name = image_stages()[0].pairs("ARG")[argument]
    container = storage.buildah("from", "scratch")
    storage.buildah("add", "-q", container, base_archive(compiler=argument == "BUILD_IMAGE"), "/")
    storage.buildah("config", "--env", f"PATH={PATH}", "--env", "LANG=C.UTF-8", container)
    storage.buildah("commit", "-q", "--rm", container, f"docker.io/library/{name}")
    words = ["--type", "image", "--format", "{{.FromImageDigest}}"]
    return f"{name}@{storage.buildah('inspect', *words, f'docker.io/library/{name}')}"


def _build(storage: Storage, images: Mapping[str, str]) -> None:
    settings = storage.folder / "pip.conf"
    settings.write_text("[global]\nno-index = true\nfind-links = /kept/consumer /kept/build\n")
    mounts = {settings: "/etc/pip.conf", wheelhouse(REQUIREMENTS): "/kept/consumer"}
    mounts[wheelhouse(BUILD_REQUIREMENTS)] = "/kept/build"
    volumes = [word for here, there in mounts.items() for word in ("--volume", f"{here}:{there}:ro")]
    pull = [] if "PYTHON_IMAGE" in os.environ else ["--pull-never"]
    words = ["--engine", "buildah", "--tag", TAG, "--source", "https://git.example/jobstatus"]
    words += ["--python-image", images["PYTHON_IMAGE"], "--build-image", images["BUILD_IMAGE"]]
    script = ROOT / "infra" / "docker" / "build_image.py"
    run([sys.executable, script, *words, "--", *pull, *volumes], env=storage.environ, timeout=BUILD_SECONDS)
