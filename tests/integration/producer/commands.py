"""The commands of the producer, run as a shell runs them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

COMMAND = [str(Path(sys.executable).parent / "jobstatus")]


Seen = subprocess.CompletedProcess[str]


Jobstatus = Callable[..., Seen]


def jobstatus(environ: dict[str, str], *arguments: str, given: str = "") -> Seen:
    environ = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environ}
    return subprocess.run([*COMMAND, *arguments], env=environ, input=given, capture_output=True, text=True, timeout=60)
