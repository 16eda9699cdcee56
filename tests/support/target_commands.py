"""Commands that need the database alone, run inside the test's process on a table of the application's own."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from support.deployment import Deployment
from support.inside import run_inside
from support.own_table import STATE, OwnTable


def command(own: OwnTable, *arguments: str, code: int = 0, **environ: str) -> CompletedProcess[str]:
    """Run a command with the target file of `own`. No broker answers it."""
    deployed = Deployment("127.0.0.1:9", own.url, "events", "group", Path(own.file.parent), STATE)
    return run_inside(deployed, *arguments, code=code, **{"JOBSTATUS_TARGET": str(own.file), **environ})


def document(own: OwnTable, *arguments: str, code: int = 0, **environ: str) -> Any:
    """What the command prints with `--json`."""
    return json.loads(command(own, *arguments, "--json", code=code, **environ).stdout)
