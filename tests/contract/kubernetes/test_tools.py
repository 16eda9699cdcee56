"""The command `helm` itself makes what its library does, and kube-score finds nothing that was not decided."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
from support.chart import CHART, GOLDEN, MANIFESTS, SETS, objects
from support.go_tools import go_tool

pytestmark = pytest.mark.long

DECIDED: Final = {
    "container-resources": "no limit of CPU, which would make heartbeats late",
    "container-ephemeral-storage-request-and-limit": "a pod writes nothing but its log, which kubelet rotates",
    "container-image-pull-policy": "a digest is a better pin than a pull",
    "pod-networkpolicy": "off until somebody says where Kafka and PostgreSQL are",
    "pod-probes-identical": "the console's probes ask for the same: nothing that it needs can make it unready",
    "deployment-has-host-podantiaffinity": "topology spread constraints do this",
    "deployment-replicas": "one console is enough",
}
"""What kube-score would have otherwise, and why not."""


def run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def by_name(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {f"{item['kind']} {item['metadata']['name']}": item for item in found}


def values(name: str) -> Path:
    return CHART / "ci" / f"{name}-values.yaml"


@pytest.mark.parametrize("name", SETS)
def test_the_command_helm_renders_what_its_library_does(name: str) -> None:
    command: list[str | Path] = [
        go_tool("helm"),
        "template",
        "jobstatus",
        CHART,
        "--namespace",
        "apps",
        "--values",
        values(name),
    ]
    reviewed = by_name(objects((GOLDEN / f"{name}.yaml").read_text("utf-8")))
    assert by_name(objects(run(*command))) == reviewed
    assert by_name(objects(run(*command, "--is-upgrade"))) == reviewed


@pytest.mark.parametrize("name", SETS)
def test_helm_lint_has_no_warning(name: str) -> None:
    assert "0 chart(s) failed" in run(go_tool("helm"), "lint", "--strict", CHART, "--values", values(name))


def test_the_smallest_command_of_the_page_renders() -> None:
    given = ["--set", "kafka.bootstrapServers=kafka:9092", "--set", "database.urlSecret.name=jobstatus-database"]
    text = run(go_tool("helm"), "template", "jobstatus", CHART, "--namespace", "apps", *given)
    assert by_name(objects(text)) == by_name(objects((GOLDEN / "default.yaml").read_text("utf-8")))


@pytest.mark.parametrize("path", [*GOLDEN.glob("*.yaml"), *MANIFESTS.glob("2-*.yaml")], ids=lambda path: path.stem)
def test_kube_score_finds_only_what_was_decided(path: Path) -> None:
    command = [go_tool("kube-score"), "score", path, "--output-format", "json", "--kubernetes-version", "v1.30"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False)
    found = {
        (item["object_name"], check["check"]["id"])
        for item in json.loads(done.stdout)
        for check in item["checks"] or []
        if check["grade"] not in (0, 10) and not check["skipped"] and check["check"]["id"] not in DECIDED
    }
    assert found == set()
