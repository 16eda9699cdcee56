"""Programs in Go that only the long tests of the chart need: from the PATH, or built into .cache/tools."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from typing import Final, NamedTuple

from support.chart import TOOLS as FOLDER
from support.parts import MissingPartError

BUILD_SECONDS: Final = 1800
_HELM: Final = "helm.sh/helm/v3/pkg/chartutil.k8sVersion"


class GoTool(NamedTuple):
    """A program: its module with its version, and what its linker is given."""

    module: str
    flags: str = "-s -w"


TOOLS: Final = {
    # a helm that is built so takes Kubernetes 1.20 for the cluster's version unless it is given one
    "helm": GoTool("helm.sh/helm/v3/cmd/helm@v3.22.0", f"-s -w -X {_HELM}Major=1 -X {_HELM}Minor=37"),
    "kube-score": GoTool("github.com/zegl/kube-score/cmd/kube-score@v1.20.0"),
}


def go_tool(name: str) -> str:
    """The path of one of `TOOLS`. May block for minutes, while it is built.

    Raises `MissingPartError` if it is not there and cannot be built: its tests are never skipped.
    """
    folder = FOLDER / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = shutil.which(name, path=f"{folder}:{os.environ.get('PATH', '')}")
        return found or _build(name, str(folder))


def _build(name: str, folder: str) -> str:
    tool, go = TOOLS[name], shutil.which("go")
    if go is None:
        raise MissingPartError(f"the tests need {name}, and there is no Go to build it. Install {name} or Go.")
    done = subprocess.run(
        [go, "install", "-ldflags", tool.flags, tool.module],
        env={**os.environ, "GOBIN": folder},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise MissingPartError(f"the tests need {name}, and `go install {tool.module}` failed: {done.stderr[-2000:]}")
    return f"{folder}/{name}"
