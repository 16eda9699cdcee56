"""Write the bills of materials (CycloneDX) of the wheel and the image: `make sbom`.

The wheel's lists what requirements/consumer.txt pins for it; the image's lists Debian's packages too.
Both go into dist.
Exit code 1: the wheel or the image is not there; the other one's bill is written all the same.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Final

from build_image import ENGINES, ROOT, NoEngineError, version, working_engine

DIST: Final = ROOT / "dist"
SAVING: Final = {
    "docker": ("docker-archive", ["docker", "save", "-o", "{file}", "{tag}"]),
    "podman": ("oci-archive", ["podman", "save", "--format", "oci-archive", "-o", "{file}", "{tag}"]),
    "buildah": ("oci-archive", ["buildah", "push", "-q", "{tag}", "oci-archive:{file}"]),
}
"""by engine: the form of its archives, and the command that saves an image as one"""


class MissingError(Exception):
    """What a bill should be of is not there. The text says what, and the command that makes it."""


def scan(what: str, name: str, into: Path) -> None:
    """Have Syft list the packages of `what`. Raises `CalledProcessError` if it cannot."""
    syft = Path(sysconfig.get_path("scripts")) / "syft"
    words = ["scan", "-q", what, "--source-name", name, "--source-version", version(), "-o", f"cyclonedx-json={into}"]
    subprocess.run([syft, *words], env={**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}, check=True)
    print(f"wrote {into}")


def of_wheel(into: Path) -> None:
    """The bill of the wheel in dist, installed with what is locked. Raises `MissingError`."""
    wheel = DIST / f"jobstatus-{version()}-py3-none-any.whl"
    if not wheel.exists():
        raise MissingError(f"no bill of the wheel was written: dist has no {wheel.name}\ntype: make dist")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        pip = [sys.executable, "-m", "pip", "--python", f"{folder}/bin/python", "install", "-q", "--no-compile"]
        subprocess.run([*pip, "--require-hashes", "-r", ROOT / "requirements" / "consumer.txt"], check=True)
        subprocess.run([*pip, "--no-index", "--no-deps", wheel], check=True)
        scan(f"dir:{folder}", wheel.name, into)


def of_image(engine: str | None, tag: str, into: Path) -> None:
    """The bill of an image of the engine; None is the first engine that works. Raises `MissingError`."""
    try:
        form, words = SAVING[engine or working_engine()]
    except NoEngineError as error:
        raise MissingError(str(error).replace("no image was built", "no bill of the image was written", 1)) from error
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/image.tar"
        command = [word.format(file=file, tag=tag) for word in words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            why = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
            raise MissingError(
                f"no bill of the image was written: {words[0]} cannot save {tag}:\n  {why}\ntype: make image"
            )
        scan(f"{form}:{file}", tag, into)


def reason_of(part: str, error: MissingError | subprocess.CalledProcessError) -> str:
    """Why there is no bill of this part; a program that failed has written its own reason before."""
    if isinstance(error, MissingError):
        return str(error)
    program = Path(error.cmd[0]).name
    return f"no bill of the {part} was written: {program} ended with {error.returncode}, for the reason above"


def main() -> int:
    """Write both bills and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=ENGINES, help="the image's engine (default: the first that works)")
    parser.add_argument("--tag", default=f"jobstatus:{version()}", help="the image's name (default: %(default)s)")
    given = parser.parse_args()
    DIST.mkdir(exist_ok=True)
    name = DIST / f"jobstatus-{version()}"
    missing = []
    try:
        of_wheel(Path(f"{name}.wheel.cdx.json"))
    except (MissingError, subprocess.CalledProcessError) as error:
        missing.append(reason_of("wheel", error))
    try:
        of_image(given.engine, given.tag, Path(f"{name}.image.cdx.json"))
    except (MissingError, subprocess.CalledProcessError) as error:
        missing.append(reason_of("image", error))
    for reason in missing:
        print(reason, file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
