"""docker-compose.yml and the Dockerfile, read as text and as YAML; no variable is filled in."""

from __future__ import annotations

import json
import re
import sys
from typing import Any, Final

import yaml
from support.installing import ROOT

COMPOSE: Final = (ROOT / "docker-compose.yml").read_text("utf-8")
CONSUMERS_SQL: Final = (ROOT / "infra" / "docker" / "postgres" / "consumers.sql").read_text("utf-8")
DOCKERFILE: Final = (ROOT / "infra" / "docker" / "Dockerfile").read_text("utf-8").replace("\\\n", " ")


def services() -> dict[str, Any]:
    """The services of docker-compose.yml by name."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
    return found


def final_stage(word: str) -> str:
    """The arguments of the one instruction `word` in the Dockerfile's last stage."""
    stage = DOCKERFILE.rsplit("\nFROM ", 1)[1]
    (found,) = re.findall(rf"^{word} +(.*)$", stage, re.MULTILINE)
    return str(found).strip()


HEALTH_CHECKS: Final[dict[str, list[str]]] = {
    "compose": services()["consumer"]["healthcheck"]["test"][1:],
    "image": json.loads(final_stage("HEALTHCHECK").split("CMD ", 1)[1]),
}
"""The commands that Docker runs to see whether a consumer is alive."""


def at_port(kind: str, port: int) -> list[str]:
    """A health check's command, run by this Python, for a consumer at another port."""
    return [sys.executable, *(part.replace("9464", str(port)) for part in HEALTH_CHECKS[kind][1:])]
