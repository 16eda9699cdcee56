"""The example clients of `docs/examples/clients`, built with their own toolchains and run as their pages say.

What is built stays in `.cache/clients`, so a second run builds only what has changed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jobstatus_local.jars import avro_tools_jar, kafka_tools_classpath
from jobstatus_schemas import JobStatusEvent
from support.pages import ROOT
from support.parts import MissingPartError

EXAMPLES: Final = ROOT / "docs" / "examples" / "clients"
BUILT: Final = ROOT / ".cache" / "clients"
SCHEMAS: Final = ROOT / "schemas" / "jobstatus_schemas"
PLAIN: Final = SCHEMAS / "job_status_event.v1.plain.avsc"
BUILD_SECONDS: Final = 900
RUN_SECONDS: Final = 120


@dataclass(frozen=True)
class Client:
    """One example: the tools that it needs, how it is built, and the command that the three modes are words for."""

    name: str
    tools: tuple[str, ...]
    build: tuple[str, ...]
    command: tuple[str, ...]
    compressions: tuple[str, ...]
    folder: Path

    def missing_tool(self) -> str | None:
        """The first tool that is not on this machine, or None."""
        return next((tool for tool in self.tools if shutil.which(tool) is None), None)

    def built(self) -> Path:
        """The folder with what was built. Raises `MissingPartError` if a tool is missing or the build fails."""
        missing = self.missing_tool()
        if missing is not None:
            raise MissingPartError(
                f"the example client in {self.name} needs {missing}, which is not on this machine.\n"
                f"Install {missing}, then run the tests again."
            )
        into = BUILT / self.name
        shutil.copytree(self.folder, into, dirs_exist_ok=True)
        done = subprocess.run(
            self.build, cwd=into, env=_environ(), capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
        if done.returncode != 0:
            raise MissingPartError(
                f"the example client in {self.name} could not be built:\n{done.stdout}{done.stderr}\n"
                "Mend what the lines above say, then run the tests again."
            )
        return into

    def run(self, mode: Sequence[str], lines: Iterable[str] = (), **environ: str) -> list[str]:
        """Run the built example; the lines that it prints."""
        done = subprocess.run(
            [*self.command, *mode],
            cwd=BUILT / self.name,
            input="".join(f"{line}\n" for line in lines),
            env={**_environ(), "SCHEMA_FILE": str(PLAIN), **environ},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=RUN_SECONDS,
            check=False,
        )
        assert done.returncode == 0, (
            f"{self.name} {mode}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
        return done.stdout.splitlines()


def as_line(event: JobStatusEvent) -> str:
    """An event as the examples read it."""
    return json.dumps(event._asdict(), ensure_ascii=False)


def of_line(line: str) -> JobStatusEvent:
    fields: dict[str, Any] = json.loads(line)
    return JobStatusEvent(**fields)


def _environ() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBSTATUS_")}
    caches = {"GOCACHE": BUILT / "go-cache", "CARGO_TARGET_DIR": BUILT / "rust-target"}
    return {**kept, **{name: str(path) for name, path in caches.items()}}


def _client(name: str, tools: str, build: str, command: Sequence[str], compressions: str) -> Client:
    return Client(
        name, tuple(tools.split()), tuple(build.split()), tuple(command), tuple(compressions.split()), EXAMPLES / name
    )


def java() -> Client:
    """The example in Java; its jars are those of the local broker and of Avro's tools."""
    jars = f"{kafka_tools_classpath()}{os.pathsep}{avro_tools_jar()}"
    command = ("java", "-XX:TieredStopAtLevel=1", "-cp", f".{os.pathsep}{jars}", "JobStatusClient")
    found = _client("java", "java javac", "", command, "none gzip snappy lz4 zstd")
    return Client(**{**vars(found), "build": ("javac", "-cp", jars, "JobStatusClient.java")})


def node() -> Client:
    install = "npm install --silent --no-audit --no-fund --no-package-lock"
    return _client("node", "node npm", install, ("node", "client.mjs"), "none gzip")


def go() -> Client:
    return _client("go", "go", "go build -o client .", ("./client",), "none gzip snappy lz4 zstd")


def rust() -> Client:
    binary = str(BUILT / "rust-target" / "debug" / "jobstatus-example")
    return _client("rust", "cargo cmake", "cargo build --quiet", (binary,), "none gzip snappy lz4")


def goavro() -> Client:
    """No example: it writes the golden bytes of a library that keeps logical types in its fingerprint."""
    found = _client("goavro", "go", "go build -o client .", ("./client",), "none")
    return Client(**{**vars(found), "folder": ROOT / "tests" / "contract" / "goavro"})
