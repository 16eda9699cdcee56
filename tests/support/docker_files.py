"""docker-compose.yml and the Dockerfile, read as they are; no variable is filled in."""

from __future__ import annotations

import json
import shlex
import sys
from typing import Any, Final, NamedTuple

import yaml
from support.installing import ROOT

COMPOSE: Final = (ROOT / "docker-compose.yml").read_text("utf-8")
CONSUMERS_SQL: Final = (ROOT / "infra" / "docker" / "postgres" / "consumers.sql").read_text("utf-8")
DOCKERFILE: Final = ROOT / "infra" / "docker" / "Dockerfile"


class Stage(NamedTuple):
    """A stage of a Dockerfile; the instructions before the first FROM are a stage without a base."""

    base: str
    instructions: list[tuple[str, str]]
    """each instruction's word and its arguments, in order"""

    def every(self, word: str) -> list[str]:
        """The arguments of each instruction `word`."""
        return [arguments for found, arguments in self.instructions if found == word]

    def only(self, word: str) -> str:
        """The arguments of the one instruction `word`."""
        (found,) = self.every(word)
        return found

    def pairs(self, word: str) -> dict[str, str]:
        """The names and values of all instructions `word`, such as ARG, ENV and LABEL; a name alone has no value."""
        parts = [part.partition("=") for line in self.every(word) for part in shlex.split(line)]
        return {name: value for name, _, value in parts}


def stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile. Comments are left out, and continued lines are one."""
    lines = [line.strip() for line in text.splitlines() if not line.lstrip().startswith("#")]
    found = [Stage("", [])]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, arguments = line.partition(" ")
        if word == "FROM":
            found.append(Stage(arguments.strip(), []))
        elif word:
            found[-1].instructions.append((word, arguments.strip()))
    return found


def image_stages() -> list[Stage]:
    """The stages of the image's Dockerfile."""
    return stages(DOCKERFILE.read_text("utf-8"))


def final_stage() -> Stage:
    """The stage whose files are the image."""
    return image_stages()[-1]


def services() -> dict[str, Any]:
    """The services of docker-compose.yml by name."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
    return found


HEALTH_CHECKS: Final[dict[str, list[str]]] = {
    "compose": services()["consumer"]["healthcheck"]["test"][1:],
    "image": json.loads(final_stage().only("HEALTHCHECK").split("CMD ", 1)[1]),
}
"""The commands that Docker runs to see whether a consumer is alive."""


def at_port(kind: str, port: int) -> list[str]:
    """A health check's command, run by this Python, for a consumer at another port."""
    return [sys.executable, *(part.replace("9464", str(port)) for part in HEALTH_CHECKS[kind][1:])]
