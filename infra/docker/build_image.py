"""Build the image with Docker, Podman or Buildah, whichever works here: `make image`.

It needs Python alone. Exit code 1: no engine works here, or its build failed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

ROOT: Final = Path(__file__).resolve().parents[2]
ENGINES: Final = {"docker": "version", "podman": "info", "buildah": "info"}
"""by engine: the command that succeeds only if the engine works"""
PROBE_SECONDS: Final = 60


class NoEngineError(Exception):
    """No engine works here. The text says what each of them answered, and what to do."""


def working_engine() -> str:
    """The first engine that works. May block for up to a minute for each. Raises `NoEngineError`."""
    refusals = []
    for name, command in ENGINES.items():
        refusal = _refusal(name, command)
        if refusal is None:
            return name
        refusals.append(f"  {name}: {refusal}")
    raise NoEngineError(
        "no image was built, because no engine works here:\n"
        + "\n".join(refusals)
        + "\nInstall or start one of them, then type: make image"
    )


def _refusal(name: str, command: str) -> str | None:
    """Why an engine does not work, in one line; None if it does."""
    if shutil.which(name) is None:
        return "not installed"
    try:
        done = subprocess.run([name, command], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"`{name} {command}` did not answer within {PROBE_SECONDS} s"
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"`{name} {command}` failed"])[-1]


def version() -> str:
    """The version in pyproject.toml."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def revision() -> str:
    """The commit, with `-dirty` if something is not committed; `unknown` outside of a checkout."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return "unknown"
    return f"{commit}-dirty" if _git("status", "--porcelain") else commit


def source() -> str:
    """The address of the repository that git was given, without user and password; empty if it is not on the web."""
    remote = urlsplit(_git("remote", "get-url", "origin") or "")
    if remote.scheme != "https" or remote.hostname is None:
        return ""
    port = f":{remote.port}" if remote.port else ""
    return f"https://{remote.hostname}{port}{remote.path}".removesuffix(".git")


def _git(*words: str) -> str | None:
    if shutil.which("git") is None:
        return None
    done = subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def build_command(engine: str, tag: str, arguments: dict[str, str], *options: str) -> list[str]:
    """The engine's command line. `arguments` are those of the Dockerfile; `options` go to the engine as they are."""
    # Podman and Buildah drop the health check from an image in their own format
    form = [] if engine == "docker" else ["--format", "docker"]
    given = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    return [engine, "build", *form, *given, "-t", tag, "-f", "infra/docker/Dockerfile", *options, "."]


def main() -> int:
    """Build the image and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tag", default=f"jobstatus:{version()}", help="the image's name (default: %(default)s)")
    parser.add_argument("--engine", choices=ENGINES, help="the engine (default: the first that works)")
    parser.add_argument("--python-image", default="", help="the base, as NAME:TAG@sha256:DIGEST for a release")
    parser.add_argument("--build-image", default="", help="the image that compiles, with the same Python; as the base")
    parser.add_argument("--source", default="", help="the repository's address (default: git's origin, if on the web)")
    parser.add_argument("option", nargs="*", help="options of the engine, after --")
    given = parser.parse_args()
    arguments = {"VERSION": version(), "REVISION": revision(), "SOURCE": given.source or source()}
    if given.python_image:
        arguments["PYTHON_IMAGE"] = given.python_image
    if given.build_image:
        arguments["BUILD_IMAGE"] = given.build_image
    try:
        engine = given.engine or working_engine()
    except NoEngineError as error:
        print(error, file=sys.stderr)
        return 1
    command = build_command(engine, given.tag, arguments, *given.option)
    print(f"building {given.tag} with {engine}", flush=True)
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        return 1
    for lack in unlike_a_release(arguments):
        print(f"not for a release: {lack}", file=sys.stderr)
    return 0


def unlike_a_release(arguments: dict[str, str]) -> list[str]:
    """What an image for others should not lack; `arguments` are those of the Dockerfile."""
    lacks = []
    for what, name in (("the base", "PYTHON_IMAGE"), ("the image that compiles", "BUILD_IMAGE")):
        if "@sha256:" not in arguments.get(name, ""):
            lacks.append(f"{what} is not pinned by digest; give {name}=NAME:TAG@sha256:DIGEST")
    if arguments["REVISION"].endswith("-dirty"):
        lacks.append("some changes are not committed; see: git status")
    if arguments["REVISION"] == "unknown":
        lacks.append("this is no checkout of git, so the commit is unknown")
    if not arguments["SOURCE"]:
        lacks.append("the label for the source is empty; give SOURCE=https://...")
    return lacks


if __name__ == "__main__":
    sys.exit(main())
