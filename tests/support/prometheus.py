"""A real Prometheus and its `promtool`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from jobstatus_local.ports import PortLease
from support.installed import program
from support.installing import ROOT
from support.waiting import until

RULES = ROOT / "infra" / "prometheus"
RULE_FILES = (RULES / "recording.yml", RULES / "alerts.yml")
SHORTER = 60
"""The live test's minutes are seconds: every duration of the rules is divided by this, and nothing else changes."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = r"(\d+)([smhd])"


def promtool(*arguments: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool to its end with `given` on its input."""
    command = [program("promtool"), *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=120, check=False)


def rules() -> list[dict[str, Any]]:
    """Every rule of the shipped files."""
    groups = [group for path in RULE_FILES for group in yaml.safe_load(path.read_text("utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """Every alerting rule of the shipped files."""
    return [rule for rule in rules() if "alert" in rule]


def shortened(text: str) -> str:
    """The rules with every duration divided by `SHORTER`: `for: 5m`, `[10m]`, and `5 * 60` in a comparison."""
    text = re.sub(rf"(?<=for: ){_DURATION}", _shorter, text)
    text = re.sub(rf"(?<=\[){_DURATION}(?=\])", _shorter, text)
    return re.sub(rf"\* {SHORTER}$", "* 1", text, flags=re.MULTILINE)


def _shorter(found: re.Match[str]) -> str:
    seconds = int(found[1]) * _UNITS[found[2]]
    assert seconds % SHORTER == 0, f"{found[0]} is no multiple of {SHORTER} s"
    return f"{seconds // SHORTER}s"


@dataclass
class Prometheus:
    """One that runs: it scrapes and evaluates every second, by the shortened rules."""

    url: str
    log: Path

    def ask(self, path: str, **query: str) -> Any:
        """The data of an answer of its HTTP API."""
        whole = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(whole, timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{whole}: {error.read().decode()}") from None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that the expression has now."""
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        return {item["labels"]["alertname"] for item in self.ask("alerts")["alerts"] if item["state"] == "firing"}

    def fires(self, name: str, timeout: float = 120.0) -> None:
        """Wait until the alert fires."""
        until(lambda: name in self.firing(), f"{name} fires", timeout, every=0.3)

    def resolves(self, *names: str, timeout: float = 120.0) -> None:
        """Wait until none of the alerts fires."""
        until(lambda: not self.firing() & set(names), f"{names} are resolved", timeout, every=0.3)


@contextlib.contextmanager
def running(
    folder: Path, targets: Mapping[str, str], tokens: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes these addresses by the name of their job, for the length of a `with`.

    `tokens` has the tokens of those that want one.
    """
    for path in RULE_FILES:
        (folder / path.name).write_text(shortened(path.read_text("utf-8")))
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(folder / path.name) for path in RULE_FILES],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [address]}], **_login(tokens.get(job))}
            for job, address in targets.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    log = folder / "prometheus.log"
    with PortLease() as lease, log.open("wb") as out:
        command = [
            program("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{lease.port}",
        ]
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, "GOMAXPROCS": "1"})
        try:
            found = Prometheus(f"http://127.0.0.1:{lease.port}", log)
            until(lambda: _ready(found, process), f"Prometheus is ready: {log.read_text()[-2000:]}")
            yield found
        finally:
            process.terminate()
            process.wait(30)


def _login(token: str | None) -> dict[str, Any]:
    return {} if token is None else {"authorization": {"credentials": token}}


def _ready(server: Prometheus, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, f"Prometheus ended: {server.log.read_text()[-2000:]}"
    try:
        with urllib.request.urlopen(f"{server.url}/-/ready", timeout=5):
            return True
    except OSError:
        return False
