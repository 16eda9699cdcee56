"""The release page can be followed: its commands exist, and the version is the same wherever it is written."""

from __future__ import annotations

import re
import shlex
import tomllib

import pytest
import yaml
from build_image import version
from support.docker_files import final_stage, services
from support.installing import ROOT, run
from support.pages import blocks

PAGE = ROOT / "docs" / "how-to" / "release.md"
LINES = [shlex.split(line, comments=True) for block in blocks(PAGE) for line in block.text.splitlines()]
TARGETS = sorted({words[1] for words in LINES if words[:1] == ["make"]})


def test_the_version_is_the_same_everywhere() -> None:
    chart = yaml.safe_load((ROOT / "infra" / "kubernetes" / "chart" / "Chart.yaml").read_text("utf-8"))
    written = {
        "CHANGELOG.md": next(re.finditer(r"^## \[.*?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.M))[1],
        "infra/docker/Dockerfile": final_stage().pairs("ARG")["VERSION"],
        "docker-compose.yml": services()["consumer"]["image"].partition(":")[2],
        **{f"Chart.yaml, {name}": chart[name] for name in ("version", "appVersion")},
    }
    for place, found in enumerate(re.findall(r"\bjobstatus:(\d[\w.]*)", (ROOT / "docs/how-to/deploy.md").read_text())):
        written[f"docs/how-to/deploy.md, image {place + 1}"] = found
    assert written == dict.fromkeys(written, version()), f"pyproject.toml has {version()}"


def test_the_changelog_begins_with_the_version_and_is_not_empty() -> None:
    heading = (ROOT / "CHANGELOG.md").read_text("utf-8").split("\n## ")[1].splitlines()
    assert re.fullmatch(rf"\[(Unreleased\] )?{re.escape(version())}\]?( - \d{{4}}-\d\d-\d\d)?", heading[0])
    assert any(line.startswith("- ") for line in heading)


@pytest.mark.parametrize("target", TARGETS)
def test_every_step_that_make_does_has_its_recipe(target: str) -> None:
    assert run(["make", "-C", ROOT, "--dry-run", target, "PYTHON_IMAGE=a@sha256:b", "SOURCE=https://c"]).strip()


def test_the_page_has_every_step() -> None:
    assert TARGETS == ["dist", "image", "image-test", "lock", "matrix", "sbom", "test"]
    assert [words[:2] for words in LINES if words[:1] == ["git"]] == [
        ["git", "status"],
        ["git", "tag"],
        ["git", "push"],
    ]


def test_the_image_step_gives_the_build_what_the_page_says() -> None:
    given = ["PYTHON_IMAGE=a:b@sha256:c", "SOURCE=https://d/e", "ENGINE=podman"]
    made = run(["make", "-C", ROOT, "--dry-run", "--no-print-directory", "image", *given]).split()
    assert made[-6:] == ["--engine", "podman", "--python-image", "a:b@sha256:c", "--source", "https://d/e"]


def test_the_python_of_the_image_is_one_that_the_project_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = (ROOT / "infra" / "docker" / "Dockerfile").read_text("utf-8")
    found = re.search(r"python:(\d+\.\d+)\.\d+-slim", text)
    assert found is not None
    assert f"Programming Language :: Python :: {found[1]}" in project["classifiers"]
