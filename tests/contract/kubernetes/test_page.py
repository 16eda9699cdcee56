"""What docs/how-to/deploy.md says of Kubernetes agrees with the chart and the manifests."""

from __future__ import annotations

import re
import shlex
from typing import Any, Final

import pytest
import yaml
from support.chart import CHART, GOLDEN, MANIFESTS, answers, objects, render_request, whole
from support.command_line import parse
from support.pages import ROOT, blocks

PAGE: Final = ROOT / "docs" / "how-to" / "deploy.md"
SECTION: Final = PAGE.read_text("utf-8").split("## On Kubernetes")[1].split("\n## ")[0]
VALUES: Final = [yaml.safe_load(block.text) for block in blocks(PAGE) if block.language == "yaml"]
LINES: Final = [
    line
    for block in blocks(PAGE)
    if block.language == "bash"
    for line in block.text.splitlines()
    if line.startswith(("helm ", "kubectl "))
]


def given_by(line: str) -> dict[str, Any]:
    """The values that `--set` gives."""
    found: dict[str, Any] = {}
    for name, value in re.findall(r"--set (\S+?)=(\S+)", line):
        *folders, last = name.split(".")
        place = found
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = yaml.safe_load(value)
    return found


@pytest.fixture(scope="module")
def rendered() -> list[str]:
    """The objects of the page's install, and of each of its sets of values."""
    (install,) = [line for line in LINES if "--install" in line]
    answered = answers([render_request(values) for values in (given_by(install), *VALUES)])
    assert [answer["error"] for answer in answered if "error" in answer] == []
    return [whole(answer["texts"]) for answer in answered]


def test_the_pages_install_is_the_smallest_set_that_was_reviewed(rendered: list[str]) -> None:
    reviewed = (GOLDEN / "default.yaml").read_text("utf-8")
    (image,) = set(re.findall(r"image: (\S+:\S+)", reviewed))
    ours = f"registry.example.com/jobstatus:{image.rpartition(':')[2]}"
    assert objects(rendered[0]) == objects(reviewed.replace(f"image: {image}", f"image: {ours}"))


def test_the_pages_values_give_what_it_says(rendered: list[str]) -> None:
    secured, scaled = (objects(text) for text in rendered[1:])
    assert {"PodMonitor", "PrometheusRule", "Service"} <= {item["kind"] for item in secured}
    (trigger,) = next(item for item in scaled if item["kind"] == "ScaledObject")["spec"]["triggers"]
    assert f"each {int(trigger['metadata']['threshold']):,} events" in SECTION


def test_an_upgrade_of_the_page_changes_a_value_that_exists() -> None:
    (upgrade,) = [line for line in LINES if line.startswith("helm upgrade") and "--install" not in line]
    (error,) = answers([render_request(given_by(upgrade))])
    assert "kafka.bootstrapServers is empty" in error["error"], "the values of the install are all that is missing"


def test_no_upgrade_of_a_page_keeps_the_defaults_or_the_image_of_the_old_version() -> None:
    upgrades = [
        line
        for page in sorted((ROOT / "docs").rglob("*.md"))
        for block in blocks(page)
        for line in block.text.splitlines()
        if line.startswith("helm upgrade") and "--install" not in line
    ]
    assert len(upgrades) >= 2
    for line in upgrades:
        assert "--reset-then-reuse-values" in line, "--reuse-values lacks what the new chart's values.yaml has added"
        assert "image.tag" not in line, "a digest wins over it, and it stays set at the next upgrade"


def test_the_commands_name_what_the_manifests_have() -> None:
    files = [word for line in LINES for word in shlex.split(line) if word.startswith("infra/")]
    assert [name for name in files if not (ROOT / name).exists()] == []
    assert {ROOT / name for name in files} == {CHART, *MANIFESTS.glob("*.yaml")}
    plain = [item for path in sorted(MANIFESTS.glob("*.yaml")) for item in objects(path.read_text("utf-8"))]
    setup = (MANIFESTS / "1-setup.yaml").read_text("utf-8")
    made = [line.split()[4:] for line in LINES if line.startswith("kubectl create secret generic")]
    assert f'secretName: "{made[0][0]}"\n' in setup
    used = SECTION.split("```yaml")[1].split("```")[0]
    for secret, *given in made[1:]:
        (line,) = [item for item in used.splitlines() if f"{{name: {secret}}}" in item]
        keys = {item.split("=")[1] for item in given}
        assert keys == set(line.partition("# key")[2].partition(": ")[2].split(", ")), secret
    jobs = {item["metadata"]["name"] for item in plain if item["kind"] == "Job"}
    assert set(re.findall(r"\bjob[ /]([a-z-]+)", SECTION)) == jobs


def test_every_command_that_a_pod_runs_exists() -> None:
    inside = [shlex.split(line.split(" -- ")[1]) for line in LINES if " -- " in line]
    assert len(inside) >= 3
    for words in inside:
        parse(words[1:] if words[0] == "jobstatus" else words)


def test_every_value_that_the_page_names_exists() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    named = set(re.findall(r"`([a-z]+[a-zA-Z]*(?:\.[a-zA-Z]+)+)(?:: \S+)?`", SECTION)) - {"target.toml"}
    named -= {"values.yaml", "group.instance.id", "values.schema.json"}
    assert len(named) >= 5
    for name in named:
        place: Any = values
        for part in name.split("."):
            assert part in place, name
            place = place[part]


def test_the_numbers_of_the_page_are_those_of_the_chart() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    consumer, scaling = values["consumer"], values["autoscaling"]
    assert f"`terminationGracePeriodSeconds` is {consumer['terminationGracePeriodSeconds']}" in SECTION
    assert f"waits {consumer['waitForDatabaseSeconds']} s for its database" in SECTION
    assert f"after {scaling['scaleDownStabilizationSeconds'] // 60} minutes" in SECTION
